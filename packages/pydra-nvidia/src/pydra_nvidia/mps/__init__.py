"""MPS: programs of several claims on one GPU at a time, each with limits of its own.

The keeper (`pydra-nvidia mps-keeper`) is a process beside the driver, because its daemons hold every tenant's programs
and must outlive an upgrade of the driver. The driver speaks to it by `client`, in words of `values`.
"""
