"""What a driver needs beside what every driver does, told to `doctor`: another program of the node, a service, a setting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """One thing a driver needs, and how it stands.

    Attributes:
        name: what it is, in a few words: the row of `doctor`'s table, behind `driver: `.
        seen: how it was found, in a sentence.
        fix: exactly what to do if it is missing or in trouble; empty if all is well.
    """

    name: str
    seen: str
    fix: str = ""
