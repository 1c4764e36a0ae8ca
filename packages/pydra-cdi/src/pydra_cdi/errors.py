"""What can go wrong with CDI, as exceptions a driver, a writer or a runtime can act on.

Every other module of the package raises only these; `reason` is the constant CamelCase word that
callers use as log key, event reason and metric label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_FAULTS = 1000  # of one spec; a spec with more is hostile, and nobody reads them
_LONGEST_SHOWN = 80


def shown(text: str) -> str:
    """Quote a text for a message, cut where it is longer than anybody reads."""
    return repr(text) if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]!r}..."


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule.

    Attributes:
        path: Where, as the file spells it: `devices[2].containerEdits.mounts[0].containerPath`;
            empty when the document as a whole cannot be read.
        message: What is wrong, with the value found.
        remedy: What to do about it.
        line: Line of the text it stands in, from 1; None for a spec that was built, not read.
        column: Column in that line, in characters, from 1.
    """

    path: str
    message: str
    remedy: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line} column {self.column}"
        where = ": ".join(part for part in (place, self.path) if part)
        return (
            f"{where}: {self.message}; {self.remedy}" if where else f"{self.message}; {self.remedy}"
        )


class CdiError(Exception):
    """Base of every error of this package."""

    reason = "CdiError"


class SpecError(CdiError, ValueError):
    """A spec, a spec file or a device ID breaks rules; `faults` holds all of them, never only the first."""

    reason = "CdiSpecInvalid"

    def __init__(self, subject: str, faults: Sequence[Fault]) -> None:
        self.subject = subject
        self.faults = tuple(faults)
        separator = " " if len(self.faults) == 1 else "\n  "
        super().__init__(separator.join([f"{subject} is not valid:", *map(str, self.faults)]))


class SpecFileError(CdiError):
    """The file system stands in the way of a spec file: read-only, full, forbidden, not a file."""

    reason = "CdiFileFailed"

    def __init__(self, path: Path, message: str, remedy: str) -> None:
        self.path = path
        self.message = message
        self.remedy = remedy
        super().__init__(f"{path}: {message}; {remedy}")


class InjectionError(CdiError):
    """Devices could not be injected; the OCI spec given is untouched.

    Attributes:
        device_ids: The devices that were not found, each as often as it was asked for.
        applied: The OCI spec with all edits before the failing one, which is what the reference library leaves
            behind in the one it was given; None when nothing was applied.
    """

    reason = "CdiInjectionFailed"

    def __init__(
        self,
        message: str,
        *,
        device_ids: Sequence[str] = (),
        applied: dict[str, Any] | None = None,
    ) -> None:
        self.device_ids = tuple(device_ids)
        self.applied = applied
        super().__init__(message)


class UnresolvedDevicesError(InjectionError):
    """No loaded spec file defines these device IDs, or files contradict each other about them."""

    reason = "CdiDeviceUnresolved"

    def __init__(self, device_ids: Sequence[str], causes: Sequence[str]) -> None:
        message = "unresolvable CDI devices: " + "; ".join(causes)
        super().__init__(message, device_ids=device_ids)


class UnreadableError(Exception):
    """Text that is no document. Stays inside the package: `codec` turns its fault into a `SpecError`."""

    def __init__(self, message: str, remedy: str, line: int, column: int) -> None:
        self.fault = Fault("", message, remedy, line, column)
        super().__init__(str(self.fault))


class MistypedError(Exception):
    """Fields are unknown or of the wrong type. Stays inside the package: `codec` makes a `SpecError` of it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(str(self.faults[0]))
