"""What lint finds: the finding a caller gets, and the remark a rule makes before the file is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pydra_cdi.accidents import Accident
from pydra_cdi.errors import CdiError, Fault, SpecError, SpecFileError
from pydra_cdi.model import ContainerEdits, Spec

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a spec file that its author should know.

    Attributes:
        severity: `error`: a runtime refuses the file, or a container with the device does not start; `warning`: it
            works otherwise than the author may think; `info`: nothing is wrong.
        rule: Constant name of the rule, to look for or to ignore.
        file: The spec file, or the directory.
        path: The field, as the file spells it; empty when the file as a whole is meant.
        line: Line in the file, from 1, where known.
        message: What is wrong, with the value found.
        remedy: What to do about it.
    """

    severity: Severity
    rule: str
    file: Path
    path: str
    line: int | None
    message: str
    remedy: str

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        where = f"{self.path}: " if self.path else ""
        return f"{place}: {self.severity}: {where}{self.message}; {self.remedy} [{self.rule}]"


class Remark(NamedTuple):
    """A finding without its file."""

    severity: Severity
    rule: str
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
            yield Finding("error", "unreadable", file, "", None, error.message, error.remedy)
        case _:
            yield Finding(
                "error", "unreadable", file, "", None, str(error), "mend it, or remove it"
            )


def of_accident(file: Path, slip: Accident) -> Finding:
    """Give the finding that a place amounts to where runtimes do not read what is written."""
    return Finding("warning", "accident", file, slip.path, slip.line, slip.message, slip.remedy)


def of_remark(file: Path, remark: Remark) -> Finding:
    """Give the finding that a rule's remark amounts to in a file; its line is still open."""
    severity, rule, path, message, remedy = remark
    return Finding(severity, rule, file, path, None, message, remedy)


def of_fault(file: Path, fault: Fault) -> Finding:
    """Give the finding that a broken rule of the specification amounts to."""
    return Finding("error", "invalid", file, fault.path, fault.line, fault.message, fault.remedy)
