"""The one place where `pydra-cdi` writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import re
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydra_cdi._cli.table import printable, render

PROGRAM = "pydra-cdi"
_ESCAPED = re.compile(
    "[\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


def add_format(parser: ArgumentParser, default: str = "table") -> None:
    """Offer `-o table|json|yaml`."""
    what = "a table for people" if default == "table" else f"default {default}"
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "yaml") if default == "table" else ("json", "yaml"),
        default=default,
        help=f"what to print ({what}, or json or yaml for programs)"
        if default == "table"
        else f"what to print ({what})",
    )


def show(
    arguments: Namespace, data: Any, headers: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print a result in the format that was asked for: `data` for programs, a table for people."""
    show_lines(arguments, data, lambda width: render(headers, rows, width))


def show_lines(
    arguments: Namespace, data: Any, lines: Callable[[int | None], Iterable[str]]
) -> None:
    """Print a result: `data` for programs, `lines` of a given width for people."""
    match arguments.output:
        case "json":
            write(as_json(data))
        case "yaml":
            write(as_yaml(data))
        case _:
            write("".join(f"{line}\n" for line in lines(terminal_width())))


def show_tree(arguments: Namespace, tree: Any) -> None:
    """Print a document that has no table: as JSON, or as YAML where that was asked for."""
    write(as_yaml(tree) if arguments.output == "yaml" else as_json(tree))


def as_json(data: Any) -> str:
    """Give indented JSON; what a terminal or a YAML 1.1 parser would stumble over is escaped."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def as_yaml(data: Any) -> str:
    """Give YAML in which every string is still a string for a reader of YAML 1.1."""
    from pydra_cdi._yaml_text import SHOWN, write_yaml  # noqa: PLC0415 - only this format needs PyYAML

    return write_yaml(data, SHOWN)


def terminal_width() -> int | None:
    """Give the columns of the terminal; None when the output goes elsewhere, where lines stay whole."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write(text: str) -> None:
    """Write to standard output; what its encoding cannot say is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def note(text: str) -> None:
    """Tell the person something that is no result."""
    for line in f"{PROGRAM}: {text}".splitlines():
        sys.stderr.write(f"{printable(line)}\n")
