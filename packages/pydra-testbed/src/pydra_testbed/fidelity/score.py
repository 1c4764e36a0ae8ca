"""Agreement, counted: of one file, as recorded and with one field changed, by area and in total."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydra_testbed.fidelity.model import Outcome

FLOOR = 0.98
"""The least share of a file that must agree."""


@dataclass(slots=True)
class Count:
    """Agreeing outcomes out of all, by area; misses as they came."""

    areas: dict[str, list[int]] = field(default_factory=dict)
    misses: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        agreeing = self.areas.setdefault(outcome.area, [0, 0])
        agreeing[0] += outcome.agrees
        agreeing[1] += 1
        if not outcome.agrees:
            self.misses.append(outcome)

    @property
    def total(self) -> int:
        return sum(area[1] for area in self.areas.values())

    @property
    def agreeing(self) -> int:
        return self.total - len(self.misses)

    @property
    def share(self) -> float:
        """Between 0 and 1; 1 when there is nothing to disagree with."""
        return self.agreeing / self.total if self.total else 1.0


@dataclass(slots=True)
class FileScore:
    """One file's counts."""

    name: str
    recorded: Count = field(default_factory=Count)
    changed: Count = field(default_factory=Count)

    @property
    def played(self) -> int:
        return self.recorded.total + self.changed.total

    @property
    def passes(self) -> bool:
        """Whether both counts reach the floor."""
        return min(self.recorded.share, self.changed.share) >= FLOOR
