"""`minver`: the lowest spec version that will do, and a spec written in another version."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pydra_cdi._cli.command import FINDING, FINE, Command, UsageError
from pydra_cdi._cli.files import read_input
from pydra_cdi._cli.options import add_files, add_host, directories
from pydra_cdi._cli.output import add_format, note, show, show_tree
from pydra_cdi.codec import read_text
from pydra_cdi.errors import CdiError
from pydra_cdi.model import ENCODER
from pydra_cdi.registry import Registry
from pydra_cdi.versions import FLOOR, KNOWN_VERSIONS, required


def _configure(parser: ArgumentParser) -> None:
    add_files(parser, "all valid files")
    parser.add_argument(
        "--to", metavar="VERSION", help="print the one FILE as a spec of this version instead"
    )
    add_host(parser)
    add_format(parser)


def _run(arguments: Namespace) -> int:
    if arguments.to is not None:
        return _convert(arguments)
    paths = arguments.files
    if not paths:
        paths = [loaded.path for loaded in Registry(directories(arguments)).refresh().specs]
    data = []
    for path in paths:
        try:
            data.append(_needs(path))
        except CdiError as error:
            note(str(error))
    if not paths:
        note("there are no valid spec files; `pydra-cdi validate` with the same -d tells more")
    rows = [[str(cell) for cell in row.values()] for row in data]
    show(arguments, data, ("SPEC FILE", "DECLARED", "MINIMUM", "BECAUSE OF"), rows)
    return FINE if len(data) == len(paths) else FINDING


def _needs(path: Path) -> dict[str, Any]:
    spec = read_text(read_input(path), source=str(path)).spec
    need = required(spec)
    because = f"{need.feature} ({need.path})" if need.path else need.feature
    return {
        "file": str(path),
        "declared": spec.cdi_version,
        "minimum": need.version,
        "because": because,
    }


def _convert(arguments: Namespace) -> int:
    from pydra_cdi.conversion import convert  # noqa: PLC0415 - only --to needs it

    if len(arguments.files) != 1:
        raise UsageError("--to takes one FILE, or - for standard input")
    version = arguments.to.removeprefix("v")
    known = KNOWN_VERSIONS[KNOWN_VERSIONS.index(FLOOR) :]
    if version not in known:
        raise UsageError(f"{arguments.to} is no version of a spec; use one of {', '.join(known)}")
    (path,) = arguments.files
    spec = convert(read_text(read_input(path), source=str(path)).spec, version)
    show_tree(arguments, json.loads(ENCODER.encode(spec)))
    return FINE


commands = (
    Command(
        "minver",
        "tell the lowest version a spec can declare",
        "Tell the lowest CDI version that can say what a spec says, and what needs it: the lower the version, the "
        "more runtimes read the file. With --to, print the spec in another version.",
        _configure,
        _run,
    ),
)
