"""`python -m pydra_cdi` is `pydra-cdi`."""

import sys

from pydra_cdi.cli import main

if __name__ == "__main__":
    sys.exit(main())
