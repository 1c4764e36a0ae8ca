"""`pydra testbed down`: stop the testbed, and collect what killed ones left."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace

from pydra_core.command import FINE

HELP = "stop the cluster and leave nothing of it"


def configure(parser: ArgumentParser) -> None:
    """It takes nothing."""
    del parser


def run(arguments: Namespace) -> int:
    from pydra_testbed.testbed.background import stop  # noqa: PLC0415 (other commands start without it)
    from pydra_testbed.testbed.place import Place  # noqa: PLC0415 (same)

    del arguments
    stopped = stop(Place(os.environ))
    if stopped.pid:
        sys.stdout.write(f"testbed (process {stopped.pid}) stopped; nothing is left of it\n")
    else:
        sys.stdout.write("no testbed is running\n")
    for folder in stopped.collected:
        sys.stdout.write(f"collected what a killed testbed left: {folder}\n")
    return FINE
