"""NVIDIA GPUs as devices of Kubernetes. Kept empty: the worker that holds NVML loads it as well."""
