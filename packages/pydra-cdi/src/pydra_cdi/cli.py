"""The program `pydra-cdi`: spec files listed, checked, explained, applied and tidied from a shell.

The entry point of the distribution and `python -m pydra_cdi` call `main`; nothing else imports this.
"""

from __future__ import annotations

import os
import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from pydra_cdi._cli import check, collect, explain, inject, listing, minver, monitor, schema
from pydra_cdi._cli.command import FINDING, USAGE, Command, UsageError
from pydra_cdi._cli.options import add_directories
from pydra_cdi._cli.output import PROGRAM, note, write
from pydra_cdi.errors import CdiError

_DESCRIPTION = (
    "See, check and use the devices that Container Device Interface spec files define on a node."
)
_EPILOG = "exit codes: 0 fine, 1 something was found or could not be done, 2 wrong usage"
_INTERRUPTED = 130
COMMANDS: tuple[Command, ...] = (
    *listing.commands,
    *check.commands,
    *explain.commands,
    *minver.commands,
    *inject.commands,
    *collect.commands,
    *monitor.commands,
    *schema.commands,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None takes the process's.

    Returns:
        0 fine, 1 a finding, 2 usage, 130 interrupted.

    Raises:
        SystemExit: The arguments make no sense (2), or help was asked for (0).
    """
    _open_streams()
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except CdiError as error:
        note(str(error))
        return USAGE if isinstance(error, UsageError) else FINDING
    except OSError as error:
        _leave_output()
        if not isinstance(error, BrokenPipeError):  # `pydra-cdi devices | head` is no mistake
            note(f"the output cannot be written: {error.strerror}")
        return FINDING
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _open_streams() -> None:
    """Give the program the standard streams that a shell closed (`>&-`), so that it may use them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123 - open as long as the program runs


def _leave_output() -> None:
    """Send what is still buffered nowhere, or the interpreter complains about it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(PROGRAM, description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    add_directories(parser, dest="all_spec_dirs")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name, help=command.help, description=command.description, epilog=_EPILOG
        )
        add_directories(subparser)
        command.configure(subparser)
        subparser.set_defaults(run=command.run)
    return parser


class _Version(Action):
    """Looks the version up only when asked: that takes longer than all the rest."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,  # noqa: ARG002 - argparse's signature
        values: str | Sequence[Any] | None,  # noqa: ARG002 - same
        option_string: str | None = None,  # noqa: ARG002 - same
    ) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - see the class

        write(f"{PROGRAM} {version('pydra-cdi')}\n")
        parser.exit()
