"""What NVIDIA's program prints, read: its answers have no form but these, and a refusal is only an odd answer.

The same command answers differently in different releases, so what is looked for is as little as can be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

MIB = 1 << 20
_MIB_PER_GIB = 1024
_PERCENT = re.compile(r"\d+(?:\.\d+)?")
_LIMIT = re.compile(r"(\d+)([GM])")
_PARTITION = re.compile(r"GPU-[0-9A-Za-z-]+/([A-Za-z0-9+/=_-]+)")
_STATUSES = ("ACTIVE", "FAULT", "INITIALIZING")
_SHORT_ROW = 6
"""Columns of `lspart`; newer releases have one more, whether clients are there."""


class Partition(msgspec.Struct, frozen=True):
    """A static partition: its name, chunks and multiprocessors, as `lspart` tells."""

    name: str
    chunks: int
    sms: int


class Partitions(msgspec.Struct, frozen=True):
    """All partitions of a GPU, and the chunks it has in all."""

    chunks: int
    all: tuple[Partition, ...]

    def named(self, name: str) -> Partition | None:
        """The one of that name."""
        return next((p for p in self.all if p.name == name), None)


def percent(lines: Sequence[str]) -> float | None:
    """The last answer, if it is a percentage; one decimal is all it has."""
    text = lines[-1].strip() if lines else ""
    return float(text) if _PERCENT.fullmatch(text) else None


def is_near(read: float | None, wanted: float) -> bool:
    """Whether a percentage that was read is the one that was set, with one decimal of it."""
    return read is not None and abs(read - wanted) <= 0.0501  # noqa: PLR2004 (half a decimal, and binary fractions)


def limit_text(mib: int) -> str:
    """How a limit of device memory is told: whole MiB, which every release takes."""
    return f"{mib}M"


def is_limit(lines: Sequence[str], mib: int) -> bool:
    """Whether the last answer is that limit; from 1 GiB on only whole GiB are told, rounded down."""
    found = _LIMIT.fullmatch(lines[-1].strip()) if lines else None
    if not found:
        return False
    number = int(found[1])
    return number == (mib // _MIB_PER_GIB if found[2] == "G" else mib)


def pids(lines: Sequence[str]) -> list[int]:
    """Process IDs, one a line; other lines are refusals."""
    words = (line.strip() for line in lines)
    return [int(word) for word in words if word.isascii() and word.isdigit()]


def status(lines: Sequence[str]) -> str:
    """What a server is; empty if that is not told."""
    return next((w for line in lines if (w := line.strip()) in _STATUSES), "")


def partition_name(lines: Sequence[str]) -> str:
    """The name of the partition that was made; empty if none is told."""
    return next((found[1] for line in lines if (found := _PARTITION.search(line))), "")


def partitions(lines: Sequence[str]) -> Partitions:
    """What `lspart` shows of the one GPU its daemon has; without the GPU's own row there are no chunks."""
    rows = [line.split() for line in lines if line.startswith("GPU-")]
    rows = [row for row in rows if len(row) >= _SHORT_ROW]
    whole = next((row for row in rows if row[1] == "-"), None)
    chunks = _number(whole[2]) + _number(whole[3]) if whole else 0
    parts = (Partition(row[1], _number(row[3]), _number(row[5])) for row in rows if row[1] != "-")
    return Partitions(chunks, tuple(parts))


def table(lines: Sequence[str]) -> list[list[str]]:
    """Rows of a list that was asked for as CSV; a refusal is a row of one cell."""
    return [[cell.strip() for cell in line.split(",")] for line in lines]


def _number(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() else 0
