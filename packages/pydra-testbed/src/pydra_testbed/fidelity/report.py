"""How agreement is told: tables for people, plain values for `-o json|yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pydra_testbed.fidelity.score import FLOOR, Count, FileScore
from pydra_testbed.objects import KubeObject

_DIFFERENCE_LIMIT = 300


def tell(console: Console, scores: Sequence[FileScore], *, verbose: bool) -> None:
    """Print one row a file; with `verbose` also one an area, and each miss with its first difference."""
    is_changed = any(score.changed.total for score in scores)
    console.print(_table(scores, verbose=verbose, is_changed=is_changed))
    for score in scores:
        for label, count in (("", score.recorded), (" (changed)", score.changed)):
            if verbose and count.misses:
                console.print(Text(f"\n{score.name}{label}: misses", "bold"))
                for line in _misses(count):
                    console.print(Text(f"  {line}"), soft_wrap=True)
    below = [score.name for score in scores if not score.passes]
    if below:
        console.print(Text(f"\nbelow {FLOOR:.0%}: {', '.join(below)}", "bold red"))


def values(scores: Sequence[FileScore]) -> KubeObject:
    """The same as JSON values."""
    return {
        "floor": FLOOR,
        "passes": all(score.passes for score in scores),
        "files": [
            {
                "file": score.name,
                "passes": score.passes,
                "recorded": _count(score.recorded),
                "changed": _count(score.changed),
            }
            for score in scores
        ],
    }


def _table(scores: Sequence[FileScore], *, verbose: bool, is_changed: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("FILE")
    for title in ("AGREE", "RECORDS", "SHARE"):
        table.add_column(title, justify="right")
    for title in ("CHANGED AGREE", "RECORDS", "SHARE") if is_changed else ():
        table.add_column(title, justify="right")
    for score in scores:
        counts = [score.recorded, *([score.changed] if is_changed else [])]
        cells = [cell for count in counts for cell in _cells(count.agreeing, count.total)]
        table.add_row(score.name, *cells, style="" if score.passes else "red")
        for area, _ in sorted(score.recorded.areas.items()) if verbose else ():
            pairs = [count.areas.get(area, [0, 0]) for count in counts]
            table.add_row(f"  {area}", *(cell for pair in pairs for cell in _cells(*pair)))
    return table


def _cells(agreeing: int, total: int) -> tuple[str, str, str]:
    return str(agreeing), str(total), f"{agreeing / total:.1%}" if total else "-"


def _misses(count: Count) -> Iterator[str]:
    for miss in count.misses:
        first = " ".join(miss.differences[0].split())
        short = first if len(first) <= _DIFFERENCE_LIMIT else first[:_DIFFERENCE_LIMIT] + "…"
        yield f"{miss.record}: {short}"


def _count(count: Count) -> KubeObject:
    return {
        "records": count.total,
        "agreeing": count.agreeing,
        "share": round(count.share, 4),
        "areas": {
            area: {"agreeing": agreeing, "records": total}
            for area, (agreeing, total) in sorted(count.areas.items())
        },
        "misses": [
            {"record": m.record, "area": m.area, "differences": list(m.differences)}
            for m in count.misses
        ],
    }
