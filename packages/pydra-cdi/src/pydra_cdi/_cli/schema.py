"""`schema`: what a spec file may hold, for editors and other programs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pydra_cdi._cli.command import FINE, Command
from pydra_cdi._cli.output import add_format, show_tree


def _configure(parser: ArgumentParser) -> None:
    add_format(parser, default="json")


def _run(arguments: Namespace) -> int:
    from pydra_cdi.schema import json_schema  # noqa: PLC0415 - this command only

    show_tree(arguments, json_schema())
    return FINE


commands = (
    Command(
        "schema",
        "print the JSON Schema of spec files",
        "Print the JSON Schema (2020-12) of spec files: give it to an editor. It cannot say all that `validate` "
        "checks.",
        _configure,
        _run,
    ),
)
