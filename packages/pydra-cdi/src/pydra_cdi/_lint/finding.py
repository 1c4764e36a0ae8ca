"""What lint finds: the finding a caller gets, and the remark a rule makes before the file is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from pydra_cdi.accidents import Accident
from pydra_cdi.errors import CdiError, Fault, SpecError, SpecFileError
from pydra_cdi.model import ContainerEdits, Spec

Severity = Literal["error", "warning", "info"]
Rule = Literal[
    "invalid",
    "unreadable",
    "accident",
    "version-too-new",
    "version-higher-than-needed",
    "mount-unbound",
    "annotation",
    "container-path-repeated",
    "secret-in-env",
    "path-crooked",
    "host-path-missing",
    "host-path-unknown",
    "symlink-dangling",
    "node-is-symlink",
    "no-device-node",
    "node-changed",
    "hook-not-executable",
    "file-unreadable",
    "file-writable",
    "file-ignored",
    "device-shadowed",
    "device-conflict",
    "too-many",
]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a spec file that its author should know.

    Attributes:
        severity: `error`: a runtime refuses the file, or a container with the device does not start; `warning`: it
            works otherwise than the author may think; `info`: nothing is wrong.
        rule: Constant name of the rule, to look for or to ignore; one of `RULES`.
        file: The spec file, or the directory.
        path: The field, as the file spells it; empty when the file as a whole is meant.
        line: Line in the file, from 1, where known.
        column: Column in that line, in characters, from 1.
        message: What is wrong, with the value found.
        remedy: What to do about it.
    """

    severity: Severity
    rule: Rule
    file: Path
    path: str
    line: int | None
    column: int | None
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.verdict}; {self.remedy} [{self.rule}]"

    @property
    def verdict(self) -> str:
        """Where, how bad, and what is wrong, in the form editors know: `file:line:column: severity: message`."""
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}:{self.column}"
        where = f"{self.path}: " if self.path else ""
        return f"{place}: {self.severity}: {where}{self.message}"


class Remark(NamedTuple):
    """A finding without its file."""

    severity: Severity
    rule: Rule
    path: str
    message: str
    remedy: str


class Block(NamedTuple):
    """One block of container edits and the path at which it lies."""

    path: str
    edits: ContainerEdits


def blocks(spec: Spec) -> Iterator[Block]:
    """Give the edits of the spec, then those of each device."""
    yield Block("containerEdits", spec.container_edits)
    for index, device in enumerate(spec.devices):
        yield Block(f"devices[{index}].containerEdits", device.container_edits)


def of_error(file: Path, error: CdiError) -> Iterator[Finding]:
    """Give the findings that an error of reading amounts to."""
    match error:
        case SpecError():
            yield from (of_fault(file, fault) for fault in error.faults)
        case SpecFileError():
            yield of_file("error", "unreadable", file, error.message, error.remedy)
        case _:
            yield of_file("error", "unreadable", file, str(error), "mend it, or remove it")


def of_accident(file: Path, slip: Accident) -> Finding:
    """Give the finding that a place amounts to where runtimes do not read what is written."""
    place = file, slip.path, slip.line, slip.column
    return Finding("warning", "accident", *place, slip.message, slip.remedy)


def of_remark(file: Path, remark: Remark) -> Finding:
    """Give the finding that a rule's remark amounts to in a file; its line and column are still open."""
    severity, rule, path, message, remedy = remark
    return Finding(severity, rule, file, path, None, None, message, remedy)


def of_file(severity: Severity, rule: Rule, file: Path, message: str, remedy: str) -> Finding:
    """Make a finding about a file as a whole."""
    return Finding(severity, rule, file, "", None, None, message, remedy)


def of_fault(file: Path, fault: Fault) -> Finding:
    """Give the finding that a broken rule of the specification amounts to."""
    place = file, fault.path, fault.line, fault.column
    return Finding("error", "invalid", *place, fault.message, fault.remedy)
