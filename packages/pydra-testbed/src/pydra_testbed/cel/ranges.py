"""Ranges of sizes and costs, in 64 unsigned bits that stop at their largest value instead of wrapping.

Cost estimates of cel-go are pairs of a smallest and a largest number; `estimate` computes with them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

MOST = 2**64 - 1


class Range(NamedTuple):
    """A smallest and a largest size or cost."""

    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(_bounded(self.least + other.least), _bounded(self.most + other.most))

    def times(self, other: Range) -> Range:
        return Range(_bounded(self.least * other.least), _bounded(self.most * other.most))

    def scaled(self, factor: float) -> Range:
        """Times a factor, each end rounded up."""
        return Range(scaled(self.least, factor), scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


def fixed(number: int) -> Range:
    """A size or cost that is known."""
    return Range(number, number)


def scaled(number: int, factor: float) -> int:
    """A number times a factor, rounded up."""
    return _bounded(math.ceil(float(number) * factor))


def _bounded(number: int) -> int:
    return min(number, MOST)


UNKNOWN = Range(0, MOST)
NOTHING = fixed(0)
ONE = fixed(1)
EMPTY_UNION = Range(MOST, 0)
