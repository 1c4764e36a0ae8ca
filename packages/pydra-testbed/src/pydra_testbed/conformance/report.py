"""A run as people read it, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pydra_testbed.conformance.model import Failed, Passed, Result, Skipped
from pydra_testbed.objects import KubeObject

_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}


def passes(results: Sequence[Result]) -> bool:
    """Whether no case failed."""
    return not any(isinstance(result.outcome, Failed) for result in results)


def word(result: Result) -> str:
    """passed, failed or skipped."""
    return type(result.outcome).__name__.lower()


def tell(console: Console, results: Sequence[Result]) -> None:
    """A table of all cases, then each failure with its reasons, then the count."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("CASE", "RESULT", "REQUIREMENT"):
        table.add_column(head)
    table.add_column("SECONDS", justify="right")
    for result in results:
        title = Text(result.case.title)
        if isinstance(result.outcome, Skipped):
            title.append(f"\n{result.outcome.reason}", style="dim")
        verdict = Text(word(result), _STYLES[word(result)])
        table.add_row(result.case.id, verdict, title, f"{result.seconds:.1f}")
    console.print(table)
    for result in results:
        if isinstance(result.outcome, Failed):
            _explain(console, result, result.outcome)
    count = Counter(map(word, results))
    console.print(Text("\n" + ", ".join(f"{count[state]} {state}" for state in _STYLES)))


def _explain(console: Console, result: Result, failed: Failed) -> None:
    console.print(Text(f"\n{result.case.id}: {result.case.title}", "bold"))
    for label, text in (
        ("expected", failed.expected),
        ("seen", failed.seen),
        ("why", result.case.why),
        ("remedy", failed.remedy),
    ):
        console.print(Text(f"  {label + ':':<9} {text}"), soft_wrap=True)


def values(results: Sequence[Result]) -> KubeObject:
    """The same as JSON values."""
    count = Counter(map(word, results))
    return {
        "passes": passes(results),
        "count": {state: count[state] for state in _STYLES},
        "cases": [_case(result) for result in results],
    }


def _case(result: Result) -> KubeObject:
    body: KubeObject = {
        "id": result.case.id,
        "family": result.case.family,
        "title": result.case.title,
        "why": result.case.why,
        "result": word(result),
        "seconds": round(result.seconds, 3),
    }
    match result.outcome:
        case Failed(expected, seen, remedy):
            body |= {"expected": expected, "seen": seen, "remedy": remedy}
        case Skipped(reason):
            body["reason"] = reason
        case Passed():
            pass
    return body
