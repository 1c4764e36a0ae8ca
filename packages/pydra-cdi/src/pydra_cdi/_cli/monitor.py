"""`monitor`: spec files watched while they come and go."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from pydra_cdi._cli import views
from pydra_cdi._cli.command import FINE, Command
from pydra_cdi._cli.options import add_host, directories
from pydra_cdi._cli.output import add_format, note, show_lines, write
from pydra_cdi._cli.views import View
from pydra_cdi.registry import Registry
from pydra_cdi.snapshot import Snapshot

_ALL = ("vendors", "classes", "specs", "devices")


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        choices=[*_ALL, "all"],
        default="all",
        help="what to print each time (default: all)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show all that is in them")
    parser.add_argument(
        "--count", type=_count, metavar="N", help="end after printing N times (default: never)"
    )
    add_host(parser)
    add_format(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _run(arguments: Namespace) -> int:
    from pydra_cdi.watching import RegistryWatcher  # noqa: PLC0415 - this command only

    registry = Registry(directories(arguments))
    with RegistryWatcher(registry) as watcher:
        if watcher.polling_because:
            note(f"{watcher.polling_because}; looking at the directories from time to time instead")
        _print(arguments, registry.snapshot)
        printed = 1
        while printed != arguments.count:
            _print(arguments, watcher.wait_for_change() or registry.snapshot)
            printed += 1
    return FINE


def _print(arguments: Namespace, found: Snapshot) -> None:
    names = _ALL if "all" in arguments.what else arguments.what
    those = [_view(name, found, verbose=arguments.verbose) for name in names]
    if arguments.output == "yaml":
        write("---\n")
    show_lines(
        arguments,
        {view.name: view.data for view in those},
        lambda width: (line for view in those for line in (*view.lines(width), "")),
    )
    sys.stdout.flush()


def _view(name: str, found: Snapshot, *, verbose: bool) -> View:
    match name:
        case "vendors":
            return views.vendors(found)
        case "classes":
            return views.classes(found)
        case "specs":
            return views.specs(found, verbose=verbose)
        case _:
            return views.devices(found, verbose=verbose)


commands = (
    Command(
        "monitor",
        "print what is there again each time it changes",
        "Print vendors, classes, specs or devices, now and each time spec files make a difference to them, until "
        "interrupted.",
        _configure,
        _run,
    ),
)
