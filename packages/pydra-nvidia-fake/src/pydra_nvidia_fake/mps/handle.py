"""What tests have of a machine's tool for MPS: how it was called, what it is to do wrong, and an end to its daemons."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from pydra_nvidia_fake.mps import features, trouble
from pydra_nvidia_fake.mps.trouble import Trouble

DAEMONS = ".daemons"


class FakeMps:
    """`nvidia-cuda-mps-control` of a machine.

    Where something is to go wrong, `command` is the first words of a line in the second protocol or of the arguments in
    the third, or `*` for all; `times` is how often, None for as long as it is not mended.

    Attributes:
        tool: Its file.
    """

    def __init__(self, tool: Path) -> None:
        self.tool = tool

    @property
    def calls(self) -> tuple[str, ...]:
        """How the program was called, in order: its arguments, and then the lines it read."""
        try:
            return tuple(self._beside(".calls").read_text(encoding="utf-8").splitlines())
        except FileNotFoundError:
            return ()

    @property
    def daemons(self) -> tuple[int, ...]:
        """Process IDs of the daemons that run, in the order they were started."""
        try:
            noted = self._beside(DAEMONS).read_text(encoding="ascii").split()
        except FileNotFoundError:
            return ()
        return tuple(pid for pid in map(int, noted) if self._runs(pid))

    def can(self, **said: object) -> None:
        """Let the tool do what this version cannot, or not what it can: fields of `features.Features`."""
        noted = json.loads(self._beside(features.SUFFIX).read_text(encoding="utf-8"))
        features.write(self.tool, noted["driver"], noted["said"] | said)

    def refuse(
        self, command: str, says: str = "", status: int = 0, *, times: int | None = None
    ) -> None:
        """Let a command do nothing and answer with a text; it exits 0, as the real one's do, unless `status` is said."""
        self._add(command, trouble.REFUSE, says=says, value=status, times=times)

    def hang(self, command: str, *, times: int | None = None) -> None:
        """Let a command never be answered."""
        self._add(command, trouble.HANG, times=times)

    def delay(self, command: str, seconds: float, *, times: int | None = None) -> None:
        """Let a command take its time."""
        self._add(command, trouble.DELAY, value=seconds, times=times)

    def die(self, command: str, *, times: int | None = 1) -> None:
        """Let the daemon be killed by a command, before it does anything."""
        self._add(command, trouble.DIE, times=times)

    def clamp(self, *, percent: float | None = None, memory: int | None = None) -> None:
        """Let setters take no more than this, and say nothing of it. Memory in bytes."""
        if percent is not None:
            self._add("percent", trouble.CLAMP, value=percent)
        if memory is not None:
            self._add("memory", trouble.CLAMP, value=memory)

    def starts_not(self, says: str = "", status: int = 1, *, times: int | None = None) -> None:
        """Let no daemon start."""
        self._add(trouble.START, trouble.REFUSE, says=says, value=status, times=times)

    def serves_not(self, *, times: int | None = None) -> None:
        """Let servers end as soon as they are started, which only the log tells."""
        self._add(trouble.SERVER, trouble.REFUSE, times=times)

    def admits_not(self, error: int, *, times: int | None = None) -> None:
        """Let programs be turned away with an error of CUDA's."""
        self._add(trouble.ATTACH, trouble.REFUSE, value=error, times=times)

    def mend(self) -> None:
        """Let everything work again."""
        trouble.mend(self.tool)

    def kill(self) -> None:
        """Kill all daemons, as nothing else would when a test ends; their servers and clients go with them."""
        for pid in self.daemons:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _add(
        self, command: str, kind: str, *, says: str = "", value: float = 0, times: int | None = None
    ) -> None:
        left = -1 if times is None else times
        trouble.add(self.tool, Trouble(command, kind, says, value, left))

    def _beside(self, suffix: str) -> Path:
        return self.tool.with_name(self.tool.name + suffix)

    def _runs(self, pid: int) -> bool:
        try:
            return str(self.tool).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
