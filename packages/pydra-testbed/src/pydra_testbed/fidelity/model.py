"""What the modules of this room share: a record, the outcome of playing it, and a file's replayer.

A record is one line of a recording, as decoded JSON: its format is the recording's, so it stays a mapping.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record.

    Attributes:
        record: Its `id` or `name`.
        area: The group it is counted in, as the recording names it.
        differences: What the testbed said otherwise, one line each; empty = it agrees.
    """

    record: str
    area: str
    differences: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the testbed answered as Kubernetes did."""
        return not self.differences


class Replayer(Protocol):
    """Knows one file of recordings; each module of this room that plays a file is one."""

    def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        """Play records, in order, each on a fresh testbed; yields one outcome for each of them."""

    def changed(self, record: Record) -> Record | None:
        """Change one field of the inputs and the recorded answer as the rule demands then.

        Shows that answers follow from inputs: names, numbers and expressions differ from anything recorded.
        None when the record has no input whose effect the rule fixes.
        """
