"""`pydra testbed fidelity`: how far the testbed agrees with recordings of real Kubernetes."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydra_core.command import FINDING, FINE

if TYPE_CHECKING:
    from pydra_testbed.fidelity.play import Progress

HELP = "play recordings of real Kubernetes to the testbed and count where it agrees"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR",
        help="folder with api-verdicts.jsonl, ... (or .jsonl.gz), or whose kubernetes/ has them",
    )  # fmt: skip
    parser.add_argument(
        "--file", action="append", default=[], metavar="NAME", help="only this file; repeatable"
    )
    parser.add_argument(
        "--changed", action="store_true", help="also play each record with one field changed"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show areas and misses")
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")


def run(arguments: Namespace) -> int:
    """Exit code: 1 when less than 98 % of any file agrees."""
    from pydra_testbed.fidelity import files, report  # noqa: PLC0415 (other commands start without it)
    from pydra_testbed.fidelity.play import play  # noqa: PLC0415 (same)

    paths = files.find(arguments.data, arguments.file)
    for path in paths:
        files.read(path)  # bad data is refused before anything is played
    with _progress() as progress:
        scores = asyncio.run(play(paths, also_changed=arguments.changed, progress=progress))
    if arguments.output == "text":
        from rich.console import Console  # noqa: PLC0415 (same)

        report.tell(Console(highlight=False), scores, verbose=arguments.verbose)
    else:
        write_values(report.values(scores), arguments.output)
    return FINE if all(score.passes for score in scores) else FINDING


def write_values(values: object, output: str) -> None:
    """Print as JSON or YAML."""
    if output == "json":
        json.dump(values, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    import yaml  # noqa: PLC0415 (only when asked for)

    yaml.safe_dump(values, sys.stdout, sort_keys=False, allow_unicode=True)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar for each file on a terminal, nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 (other commands start without it)
    from rich.progress import Progress as Bars  # noqa: PLC0415 (same)
    from rich.progress import TaskID  # noqa: PLC0415 (same)

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _name, _done, _total: None
        return
    rows: dict[str, TaskID] = {}
    with Bars(console=console, transient=True) as bars:

        def show(name: str, done: int, total: int) -> None:
            if name not in rows:
                rows[name] = bars.add_task(name, total=total)
            bars.update(rows[name], completed=done, total=total)

        yield show
