"""A Kubernetes cluster in one process, for devices."""
