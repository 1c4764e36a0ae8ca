"""The sub-command itself: names, files, and the command to run next. Found by entry point."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

import yaml

from pydra_core.command import FINE, Command

_NEXT = 'cd {0.name} && pydra demo --start "python src/{0.module}/__init__.py" --manifests src/{0.module}/demo'


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", help="of the folder and the package, like acme-cards"
    )
    parser.add_argument(
        "--driver-name",
        default="",
        metavar="DOMAIN",
        help="a DNS name of yours, like card.acme.example (default: NAME.example.com)",
    )
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")


def _run(arguments: Namespace) -> int:
    from pydra_core._commands.new import files, names  # noqa: PLC0415 (other commands start without it)

    chosen = names.derive(arguments.name, arguments.driver_name)
    contents = files.render(chosen)
    files.write(Path(chosen.name), contents)
    _report(
        arguments.output,
        chosen.driver,
        [f"{chosen.name}/{f}" for f in contents],
        _NEXT.format(chosen),
    )
    return FINE


def _report(form: str, driver: str, written: Iterable[str], following: str) -> None:
    document = {"driver": driver, "files": list(written), "next": following}
    match form:
        case "json":
            json.dump(document, sys.stdout, indent=2)
            sys.stdout.write("\n")
        case "yaml":
            yaml.safe_dump(document, sys.stdout, sort_keys=False, width=1000)
        case _:
            lines = "".join(f"  {file}\n" for file in document["files"])
            sys.stdout.write(
                f"The driver {driver}:\n{lines}\nRun it on the testbed:\n  {following}\n"
            )


command = Command("new", "write the four files of a driver", _configure, _run)
