"""The examination as people and programs read it: a table with the fixes below it, JSON, or YAML."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pydra_core._commands.doctor.results import Result, State

_STYLES = {State.OK: "green", State.FINDING: "bold red", State.SKIPPED: "dim"}
_BARE = (
    "This machine is no Kubernetes node: there is no kubelet on it and no API access is configured."
    " Try the driver here with `pydra demo`, which needs neither."
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was examined and what came out."""

    driver: str
    node: str
    bare: bool
    results: Sequence[Result]

    @property
    def findings(self) -> list[Result]:
        """What stands in the way."""
        return [result for result in self.results if result.state is State.FINDING]


def write(report: Report, form: str) -> None:
    """Write to standard output: `table`, `json` or `yaml`."""
    match form:
        case "json":
            json.dump(document(report), sys.stdout, indent=2)
            sys.stdout.write("\n")
        case "yaml":
            yaml.safe_dump(document(report), sys.stdout, sort_keys=False, allow_unicode=True)
        case _:
            _table(report)


def document(report: Report) -> dict[str, Any]:
    """The examination as a value, for JSON, YAML and support bundles."""
    checks = [
        {"check": r.check, "state": str(r.state), "seen": r.seen}
        | ({"finding": str(r.finding), "fix": r.fix} if r.finding else {})
        for r in report.results
    ]
    head = {"driver": report.driver, "node": report.node, "findings": len(report.findings)}
    return head | {"hint": _BARE if report.bare else "", "checks": checks}


def _table(report: Report) -> None:
    from rich.console import Console  # noqa: PLC0415 (only tables need it)
    from rich.table import Table  # noqa: PLC0415 (same)
    from rich.text import Text  # noqa: PLC0415 (same)

    console = Console(highlight=False)
    table = Table("CHECK", "STATE", "SEEN", box=None, pad_edge=False, header_style="dim")
    table.columns[2].overflow = "fold"
    for r in report.results:
        table.add_row(Text(r.check), Text(r.state, _STYLES[r.state]), Text(r.seen))
    console.print(table)
    for number, r in enumerate(report.findings, 1):
        console.print()
        console.print(Text(f"{number}. {r.finding}: {r.check}: {r.seen}", "bold"), soft_wrap=True)
        console.print(Text(textwrap.indent(r.fix, "   ")), soft_wrap=True)
    console.print()
    console.print(Text(_summary(report), "bold"))
    if report.bare:
        console.print(Text(_BARE))


def _summary(report: Report) -> str:
    states = [result.state for result in report.results]
    count = len(report.findings)
    findings = f"{count} finding" + ("" if count == 1 else "s")
    return f"{states.count(State.OK)} ok, {findings}, {states.count(State.SKIPPED)} skipped"
