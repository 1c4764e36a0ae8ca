"""`pydra validate`: claims, classes, slices, pods and opaque parameters, checked without a cluster."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pydra_core.command import FINDING, FINE, Command
from pydra_core.errors import ConfigError

if TYPE_CHECKING:
    from pydra_testbed.validate import Finding, Outcome


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="YAML or JSON, of one or many objects; - is standard input"
    )  # fmt: skip
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")


def _run(arguments: Namespace) -> int:
    from pydra_testbed.validate import parameters, validate  # noqa: PLC0415 (other commands start without it)

    files = list(_texts(arguments.files))
    outcome = asyncio.run(validate(files, parameters.installed()))
    _print(outcome, arguments.output)
    return FINDING if outcome.errors else FINE


def _texts(names: list[str]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(names):
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            why = err.strerror if isinstance(err, OSError) else "is no UTF-8"
            raise ConfigError(
                f"file {name}: cannot be read: {why}", key="files", source="command line"
            ) from err
        yield name, text


def _print(outcome: Outcome, form: str) -> None:
    if form == "text":
        lines = [_line(finding) for finding in outcome.findings]
        sys.stdout.write("\n".join([*lines, _summary(outcome)]) + "\n")
        return
    document = {
        "checked": outcome.checked,
        "passedOver": outcome.passed_over,
        "errors": outcome.errors,
        "warnings": outcome.warnings,
        "findings": [_body(finding) for finding in outcome.findings],
    }
    if form == "json":
        json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True)


def _line(finding: Finding) -> str:
    head = f"{finding.file}:{finding.line}: {finding.severity}"
    return ": ".join(filter(None, (head, finding.object, finding.path, finding.message)))


def _body(finding: Finding) -> dict[str, Any]:
    return {
        "severity": str(finding.severity),
        "file": finding.file,
        "document": finding.document,
        "line": finding.line,
        "object": finding.object,
        "path": finding.path,
        "message": finding.message,
    }


def _summary(outcome: Outcome) -> str:
    parts = [_many(outcome.checked, "object") + " checked"]
    if outcome.passed_over:
        parts.append(f"{outcome.passed_over} of other kinds passed over")
    return f"{', '.join(parts)}: {_many(outcome.errors, 'error')}, {_many(outcome.warnings, 'warning')}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


command = Command(
    "validate", "check claims, classes, slices and pods without a cluster", _configure, _run
)
