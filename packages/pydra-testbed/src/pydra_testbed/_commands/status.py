"""`pydra testbed status`: how the running testbed is."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace

from pydra_core.command import FINDING, FINE
from pydra_testbed._commands.fidelity import write_values

HELP = "show the running cluster: nodes, drivers, pods, claims"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")


def run(arguments: Namespace) -> int:
    """Exit code 1: none is running."""
    from pydra_testbed.testbed.place import Place  # noqa: PLC0415 (other commands start without it)

    place = Place(os.environ)
    state = place.read()
    if state is None or not place.is_taken():
        if arguments.output == "text":
            sys.stdout.write("no testbed is running; `pydra testbed up` starts one\n")
        else:
            write_values({"running": False}, arguments.output)
        return FINDING
    import msgspec  # noqa: PLC0415 (only when there is something to show)
    from rich.console import Console  # noqa: PLC0415 (same)

    from pydra_testbed.testbed.status import ask, tell  # noqa: PLC0415 (same)

    status = asyncio.run(ask(state))
    if arguments.output == "text":
        tell(Console(highlight=False), status)
    else:
        write_values(msgspec.to_builtins(status), arguments.output)
    return FINE
