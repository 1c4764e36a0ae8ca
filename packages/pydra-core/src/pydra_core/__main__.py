"""`python -m pydra_core` is `pydra`."""

from pydra_core.cli import main

main()
