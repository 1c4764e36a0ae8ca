"""Builds the interposer, says in its environment variables what to break, and reads its log."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("interpose.c")


def build(folder: Path) -> Path | None:
    """Compile the interposer into `folder`; None where there is no gcc."""
    if not (compiler := shutil.which("gcc")):
        return None
    library = folder / "interpose.so"
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command = [compiler, *flags, "-o", str(library), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(command, check=True, timeout=60)
    return library


@dataclass(frozen=True)
class Event:
    """One line of the log: a numbered call, or (number 0) an answer that left the driver."""

    number: int
    call: str
    errno: int
    inode: int
    path: str
    path2: str
    offset: int
    flags: int
    data: bytes

    def __str__(self):
        error = f" = errno {self.errno}" if self.errno else ""
        return f"{self.number} {self.call} {self.path} {len(self.data) or ''}{error}"


def read_log(file: Path) -> list[Event]:
    """Everything that was logged, in order."""
    if not file.exists():
        return []
    events = []
    for line in file.read_text().splitlines():
        number, call, errno, inode, path, path2, offset, flags, data = line.split("\t")
        events.append(
            Event(
                number=int(number),
                call=call,
                errno=int(errno),
                inode=int(inode),
                path=path.removesuffix(" (deleted)"),
                path2=path2,
                offset=int(offset),
                flags=int(flags),
                data=bytes.fromhex(data),
            )
        )
    return events
