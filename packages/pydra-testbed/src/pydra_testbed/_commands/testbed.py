"""`pydra testbed`: a cluster to keep running, how honest it is, and how well a driver behaves on it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pydra_core.command import Command
from pydra_testbed._commands import conformance, down, fidelity, status, up

_ACTIONS = {
    "up": up,
    "status": status,
    "down": down,
    "fidelity": fidelity,
    "conformance": conformance,
}


def _configure(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, action in _ACTIONS.items():
        one = actions.add_parser(name, help=action.HELP, description=action.HELP)
        one.set_defaults(action=action)
        action.configure(one)


def _run(arguments: Namespace) -> int:
    code: int = arguments.action.run(arguments)
    return code


command = Command(
    "testbed", "run a cluster in one process, and check how honest it is", _configure, _run
)
