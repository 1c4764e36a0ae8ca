"""What makes an object invalid, one module per kind or shared part; every rule returns causes.

Limits, fields, reasons and texts follow Kubernetes 1.36 (`pkg/apis/resource/validation` and the core and
meta validation beneath it), checked against recorded verdicts.
"""
