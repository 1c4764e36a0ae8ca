"""What is wrong with a manifest, and where a person finds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error is refused by a cluster or keeps a pod from starting; a warning may be right in some cluster."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding. `document` counts from 1 within the file, `line` is of the file, `path` of the object."""

    severity: Severity
    file: str
    document: int
    line: int
    object: str = ""
    path: str = ""
    message: str
