"""What `pydra_nvidia.nvml` is made of. Loaded by the shield's worker only."""
