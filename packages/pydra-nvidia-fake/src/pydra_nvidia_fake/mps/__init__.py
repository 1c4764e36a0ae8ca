"""NVIDIA's control daemon for MPS, and its server: a fake that speaks the real tool's text, oddities included.

`tool` is the program `nvidia-cuda-mps-control` of a fake machine, run by a script in its `usr/bin`; `trouble` is how
tests let it misbehave; `pydra_nvidia_fake.mps_client` is a program that would use a GPU.
"""
