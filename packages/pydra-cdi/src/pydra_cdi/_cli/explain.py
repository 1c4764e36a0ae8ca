"""`explain`: why a device can be had, or why not."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from pydra_cdi._cli.command import FINDING, FINE, Command, UsageError
from pydra_cdi._cli.options import add_host, directories
from pydra_cdi._cli.output import add_format, show_lines
from pydra_cdi._cli.table import hanging
from pydra_cdi.errors import SpecError
from pydra_cdi.explain import Definition, Explanation, explain
from pydra_cdi.registry import Registry


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("device", metavar="DEVICE", help="vendor/class=name")
    add_host(parser)
    add_format(parser)


def _run(arguments: Namespace) -> int:
    found = Registry(directories(arguments)).refresh()
    try:
        told = explain(found, arguments.device)
    except SpecError as error:
        raise UsageError(str(error)) from error
    show_lines(
        arguments,
        _data(told),
        lambda width: (line for one in told.sentences for line in hanging(one, width)),
    )
    return FINE if told.winner else FINDING


def _data(told: Explanation) -> dict[str, Any]:
    unused = [
        {"file": str(one.path), "errors": [str(error) for error in one.errors]}
        for one in told.unused
    ]
    return {
        "device": told.device_id,
        "file": str(told.winner.path) if told.winner else None,
        "definitions": [_definition(one) for one in told.definitions],
        "unused": unused,
        "near": list(told.near),
    }


def _definition(one: Definition) -> dict[str, Any]:
    place = {"file": str(one.path), "priority": one.priority, "position": one.position}
    return {**place, "fate": one.fate, "others": list(map(str, one.others))}


commands = (
    Command(
        "explain",
        "tell why a device can be had, or why not",
        "Tell which file defines a device, which files shadow or contradict it, and what to do when nobody "
        "can have it. Exit code 1 when it cannot be injected.",
        _configure,
        _run,
    ),
)
