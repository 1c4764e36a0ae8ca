"""`python -m pydra_nvidia` is the `pydra-nvidia` command."""

from pydra_nvidia.program import run

run()
