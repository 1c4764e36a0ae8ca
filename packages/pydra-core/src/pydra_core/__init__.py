"""Kubernetes Dynamic Resource Allocation drivers in Python."""
