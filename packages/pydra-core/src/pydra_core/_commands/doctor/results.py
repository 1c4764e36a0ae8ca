"""What a check says: a value for the table, for JSON and for the exit code. Every check makes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydra_core._commands.doctor.findings import Finding

_LONGEST = 2000


class State(StrEnum):
    """How a precondition stands; `skipped` says nothing for or against it."""

    OK = "ok"
    FINDING = "finding"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One precondition: its name, how it stands, what was seen; for a finding its name and what to do about it."""

    check: str
    state: State
    seen: str
    fix: str = ""
    finding: Finding | None = None


def ok(check: str, seen: str) -> Result:
    """A precondition that holds."""
    return Result(check, State.OK, _plain(seen))


def finding(name: Finding, check: str, seen: str, fix: str) -> Result:
    """A precondition that does not hold, in which of the known ways, and the exact way to make it hold."""
    return Result(check, State.FINDING, _plain(seen), _plain(fix), name)


def skipped(check: str, why: str) -> Result:
    """A precondition that could not or need not be looked at."""
    return Result(check, State.SKIPPED, _plain(why))


def _plain(text: str) -> str:
    """Files and servers are other people's: no control character of theirs reaches the terminal."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
    return "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in shown
    )
