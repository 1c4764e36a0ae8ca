"""OpenAPI v3, generated from field tables and custom resources' schemas: what `kubectl explain` reads.

`documents` answers `/openapi/v3` and below it one document per group version. There is no OpenAPI v2.
"""
