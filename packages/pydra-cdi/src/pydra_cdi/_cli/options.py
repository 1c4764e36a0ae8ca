"""Options the commands share: which spec directories, and whose file system."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from pathlib import Path

from pydra_cdi._cli.command import UsageError
from pydra_cdi._cli.output import note
from pydra_cdi._tree import HostTree
from pydra_cdi.errors import SpecFileError
from pydra_cdi.registry import DEFAULT_DIRECTORIES, Registry
from pydra_cdi.snapshot import Snapshot


def add_directories(parser: ArgumentParser, *, dest: str = "spec_dirs") -> None:
    """Offer `-d DIR`, once or often, with commas or without."""
    parser.add_argument(
        "-d",
        "--spec-dirs",
        dest=dest,
        action="append",
        default=[],
        metavar="DIR[,DIR...]",
        help="spec directories, lowest priority first (default: /etc/cdi,/var/run/cdi)",
    )


def add_files(parser: ArgumentParser, default: str) -> None:
    """Offer `FILE...`; without any, `default` of the spec directories is meant."""
    told = f"spec files, - for standard input (default: {default} of the spec directories)"
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help=told)


def add_host(parser: ArgumentParser) -> None:
    """Offer `--host DIR`."""
    parser.add_argument(
        "--host",
        type=_folder,
        default=Path("/"),
        metavar="DIR",
        help="read this file system instead of this machine's, like /host in a debug pod",
    )


def _folder(text: str) -> Path:
    """Refuse a host that is not there: all its directories would pass for empty."""
    if not text or not Path(text).is_dir():
        raise ArgumentTypeError(f"{text!r} is no directory")
    return Path(text)


def directories(arguments: Namespace) -> list[Path]:
    """Give the spec directories that were asked for, or the default ones of the host.

    Raises:
        UsageError: -d names no directory, as `-d "$UNSET"` does: `gc` must not take that for the default.
        SpecFileError: Symlinks of the host lead in a circle.
    """
    given = [*arguments.all_spec_dirs, *arguments.spec_dirs]
    named = [Path(name) for names in given for name in names.split(",") if name]
    if given and not named:
        raise UsageError("-d names no directory; name one, or leave -d out for the default")
    for path in named:
        if not os.path.lexists(path):  # a typing error, or a driver that has not started yet
            note(f"{path} does not exist, so it counts as empty")
    return named or list(_default(arguments.host))


def _default(host: Path) -> Iterator[Path]:
    for directory in DEFAULT_DIRECTORIES:
        try:
            yield directory if host == Path("/") else HostTree(host).place(str(directory))
        except OSError as error:
            message = f"{directory} cannot be found in it: {error.strerror}"
            raise SpecFileError(host, message, "name the spec directories with -d") from error


def snapshot(arguments: Namespace) -> Snapshot:
    """Read the spec directories; tell the person when files in them cannot be used."""
    found = Registry(directories(arguments)).refresh()
    for error in found.unread.values():
        note(str(error))
    if bad := len(found.errors):
        files = "1 file has" if bad == 1 else f"{bad} files have"
        note(f"{files} errors; `pydra-cdi validate` with the same -d tells which")
    return found
