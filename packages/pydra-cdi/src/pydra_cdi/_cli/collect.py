"""`gc`: spec files that their owner wants no more."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from pathlib import Path

from pydra_cdi._cli.command import FINDING, FINE, Command
from pydra_cdi._cli.options import add_host, directories
from pydra_cdi._cli.output import add_format, note, show
from pydra_cdi.errors import SpecFileError
from pydra_cdi.file_names import SUFFIXES
from pydra_cdi.files import SpecDirectory


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--owner",
        required=True,
        type=_owner,
        metavar="ID",
        help="whose files: what the writer gave as owner, kept in the file's annotations",
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        type=_spec_file,
        metavar="FILE",
        help="a file that stays, by its name; give it for each",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="remove nothing, tell what would be removed"
    )
    add_host(parser)
    add_format(parser)


def _owner(text: str) -> str:
    if not text:
        raise ArgumentTypeError("it is empty")
    return text


def _spec_file(text: str) -> Path:
    """Refuse a name that keeps nothing, like one without its suffix: the file meant would be removed."""
    if not text.endswith(SUFFIXES):
        raise ArgumentTypeError(f"{text!r} is no name of a spec file, like acme.example-card.json")
    return Path(text)


def _run(arguments: Namespace) -> int:
    rows: list[tuple[str, str]] = []
    code = FINE
    for directory in directories(arguments):
        try:
            rows += _collected(directory, arguments)
        except SpecFileError as error:  # what happened in other directories must still be told
            note(str(error))
            code = FINDING
    data = [{"file": file, "action": action} for file, action in rows]
    show(arguments, data, ("SPEC FILE", "ACTION"), rows)
    return code


def _collected(directory: Path, arguments: Namespace) -> Iterator[tuple[str, str]]:
    collected = SpecDirectory(directory).collect(
        arguments.owner, keep=arguments.keep, dry_run=arguments.dry_run
    )
    what = "would be removed" if arguments.dry_run else "removed"
    yield from ((str(path), what) for path in collected.removed)
    yield from ((str(path), "removed: left by a killed writer") for path in collected.swept)
    for error in collected.unreadable.values():
        note(f"left alone, because nobody can tell whose it is: {error}")


commands = (
    Command(
        "gc",
        "remove the spec files of one owner",
        "Remove the spec files of one owner that are not to be kept, from all spec directories, and temporary "
        "files of writers that were killed. Files of others and files nobody can read stay.",
        _configure,
        _run,
    ),
)
