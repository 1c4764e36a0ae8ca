"""Accidents: what a spec file holds that runtimes read as something else than what is written.

`codec.read_text` finds them while it reads a file by the rules of the reference library, which takes every
file for YAML 1.1 and turns numbers, booleans and field names into what it expects; `lint` shows them.
A file without accidents says the same to every reader.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydra_cdi.model import Spec


@dataclass(frozen=True, slots=True)
class Accident:
    """One place where what is read is not what is written.

    Attributes:
        path: Where, as in `Fault.path`; empty for what concerns the document as a whole.
        line: Line in the file, from 1.
        column: Column in the line, in characters, from 1.
        written: What the file holds there, cut to a readable length.
        read_as: What a runtime makes of it, cut likewise.
        message: What happened.
        remedy: How to write what is meant.
    """

    path: str
    line: int
    column: int
    written: str
    read_as: str
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"line {self.line} column {self.column}: " + (f"{self.path}: " if self.path else "")
        return f"{where}{self.message}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Reading:
    """A spec as runtimes read it, and where that is not what the file says."""

    spec: Spec
    accidents: tuple[Accident, ...] = ()
