"""What a test lets the tool do wrong: kept in a file beside it, which the daemon asks before each command."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

SUFFIX = ".troubles"
ANY = "*"
START, SERVER, ATTACH = "(start)", "(server)", "(attach)"
"""What is no command: the start of a daemon or of a server, and a program that comes."""
REFUSE, HANG, DELAY, DIE, CLAMP = "refuse", "hang", "delay", "die", "clamp"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that goes wrong.

    Attributes:
        command: the first words of the command it happens to.
        kind: one of the words above.
        says: what is answered.
        value: exit status, seconds, or the most that is taken.
        left: how often; -1 for as long as it is not mended.
    """

    command: str
    kind: str
    says: str = ""
    value: float = 0
    left: int = -1


def add(tool: Path, trouble: Trouble) -> None:
    """Let something go wrong from now on."""
    with _held(tool) as path:
        _write(path, [*_read(path), trouble])


def mend(tool: Path) -> None:
    """Let everything work again."""
    with _held(tool) as path:
        _write(path, [])


def met(tool: Path, command: str) -> Trouble | None:
    """What goes wrong with a command now; it counts as happened."""
    if not tool.with_name(tool.name + SUFFIX).exists():
        return None
    with _held(tool) as path:
        troubles = _read(path)
        for number, one in enumerate(troubles):
            if one.left and _is_of(one, command):
                if one.left > 0:
                    troubles[number] = Trouble(**asdict(one) | {"left": one.left - 1})
                    _write(path, troubles)
                return one
    return None


def _is_of(one: Trouble, command: str) -> bool:
    if one.command == ANY:
        return not command.startswith("(")
    return command == one.command or command.startswith(one.command + " ")


@contextmanager
def _held(tool: Path) -> Iterator[Path]:
    path = tool.with_name(tool.name + SUFFIX)
    file = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(file)


def _read(path: Path) -> list[Trouble]:
    try:
        return [Trouble(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []


def _write(path: Path, troubles: list[Trouble]) -> None:
    path.write_text(json.dumps([asdict(one) for one in troubles]), encoding="utf-8")
