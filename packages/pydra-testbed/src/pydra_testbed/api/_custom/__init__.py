"""Custom resources: kinds that a CustomResourceDefinition of apiextensions.k8s.io/v1 adds to a server.

`definitions` follows the definitions in the store and serves what they define; `version` is what a kind's row
carries of them. Schemas stay JSON, as they are a part of the definition's body.
"""
