"""The rows as people and programs read them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from pydra_core._commands.top.uses import State, Use

_STYLES = {
    State.PREPARED: "green",
    State.FREE: "dim",
    State.WORKING: "yellow",
    State.ADOPTED: "yellow",
}
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Report:
    """What is held on a node, and what stands in the way of knowing more."""

    node: str
    uses: Sequence[Use]
    findings: Sequence[str]
    now: datetime
    with_api: bool


def write(report: Report, form: str) -> None:
    """Write to standard output: `table`, `json` or `yaml`."""
    match form:
        case "json":
            json.dump(_document(report), sys.stdout, indent=2, ensure_ascii=False)
            sys.stdout.write("\n")
        case "yaml":
            yaml.safe_dump(_document(report), sys.stdout, sort_keys=False, allow_unicode=True)
        case _:
            _table(report)


def _document(report: Report) -> dict[str, Any]:
    devices = [_row(use) for use in report.uses]
    return {"node": report.node, "devices": devices, "findings": list(report.findings)}


def _row(use: Use) -> dict[str, Any]:
    row: dict[str, Any] = {
        "driver": use.driver,
        "pool": use.pool,
        "device": use.device,
        "state": str(use.state),
    }
    if use.resource:
        row["resource"] = {"name": use.resource, "id": use.claim}
    elif use.uid:
        row["claim"] = {"namespace": use.namespace, "name": use.claim, "uid": use.uid}
    optional = {
        "requests": list(use.requests),
        "share": use.share,
        "adminAccess": use.admin,
        "consumed": dict(use.consumed),
        "left": dict(use.left),
        "since": use.since.isoformat().replace("+00:00", "Z") if use.since else "",
        "pods": list(use.pods),
        "podsPerhaps": list(use.perhaps),
    }
    return row | {name: value for name, value in optional.items() if value}


def _table(report: Report) -> None:
    from rich.console import Console  # noqa: PLC0415 (only tables need it)
    from rich.table import Table  # noqa: PLC0415 (same)
    from rich.text import Text  # noqa: PLC0415 (same)

    console = Console(highlight=False)
    columns = ["DRIVER", "DEVICE", "STATE", "CLAIM", "REQUEST", "SHARE", "CONSUMED", "SINCE"]
    with_pods = report.with_api or any(use.pods for use in report.uses)
    table = Table(
        *columns,
        *(["LEFT"] if report.with_api else []),
        *(["POD"] if with_pods else []),
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    for use in report.uses:
        row: list[str | Text] = [
            use.driver,
            _device(use, report.node),
            Text(use.state, _STYLES[use.state]),
            _claim(use),
            ", ".join(use.requests),
            use.share or ("admin access" if use.admin else ""),
            _amounts((name, amount) for name, amount in use.consumed if amount != "0"),
            _age(use, report.now),
        ]
        row += [_amounts(use.left)] if report.with_api else []
        table.add_row(*row, *([_pods(use)] if with_pods else []))
    if report.uses:
        console.print(table)
    else:
        console.print("Nothing is prepared on this node.")
    for finding in report.findings:
        console.print(Text(f"\n{finding}", "bold red"), soft_wrap=True)


def _device(use: Use, node: str) -> str:
    """As `taint` takes it: the pool is left out if it is the node's own, and so is the node's name of a further one."""
    if use.pool in ("", node) or not node:
        return use.device
    return f"{use.pool.removeprefix(f'{node}/')}/{use.device}"


def _amounts(of: Iterable[tuple[str, str]]) -> str:
    """Without domains. What a share takes none of is in the documents alone."""
    return " ".join(f"{name.rpartition('/')[2]}={amount}" for name, amount in of)


def _pods(use: Use) -> str:
    """Those that may be it end in a question mark."""
    return ", ".join((*use.pods, *(f"{name}?" for name in use.perhaps)))


def _claim(use: Use) -> str:
    if use.claim:
        return f"{use.resource or use.namespace}/{use.claim}"
    return f"UID {use.uid}" if use.uid else ""


def _age(use: Use, now: datetime) -> str:
    """As `kubectl get` shows ages, in one unit."""
    if use.since is None:
        return ""
    seconds = max(0, int((now - use.since).total_seconds()))
    size, unit = next(((s, u) for s, u in _UNITS if seconds >= s), (1, "s"))
    return f"{seconds // size}{unit}"
