"""Starting a testbed in the background, and stopping whatever runs or was left."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydra_testbed import janitor
from pydra_testbed.testbed.place import Place, State

_GRACE = 15.0
"""Seconds a testbed may take to end: its drivers have five."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not get ready: its exit code, and what it said."""

    code: int
    text: str


def start(place: Place, arguments: Sequence[str]) -> State | Failed:
    """Run `pydra testbed up` with `arguments` in a process group of its own; return when it is ready or has ended.

    Raises:
        RunsAlreadyError: there is one.
        ConfigError: the runtime directory cannot be used.
    """
    place.make()
    if place.is_taken():
        raise place.runs_already()
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "pydra_core", "testbed", "up", "--foreground"]
    with place.log.open("w+b") as log, os.fdopen(reader, "rb") as ready:
        process = subprocess.Popen(
            [*command, "--ready-fd", str(writer), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        try:
            is_ready = ready.read() != b""
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        state = place.read()
        if is_ready and state is not None:
            process.returncode = 0  # it is nobody's child any more: no warning that it still runs
            return state
        code = process.wait()
        log.seek(0)
        said = log.read().decode(errors="replace")
    if not place.is_taken():
        place.forget()
    return Failed(code, said)


def _end(pid: int) -> None:
    """Ask the testbed's process to end, insist, and return when it is gone; it lets go of the lock a little before."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, number)
            if select.select([process], [], [], _GRACE)[0]:
                return
    finally:
        os.close(process)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was there: a running testbed's process ID (0: none), folders of killed ones."""

    pid: int
    collected: tuple[Path, ...]


def stop(place: Place) -> Stopped:
    """End the testbed of this place and remove what killed ones left; nothing of them is there afterwards."""
    state, pid = place.read(), place.holder()
    if pid:
        _end(pid)
    collected = []
    if state is not None and Path(state.root).exists():
        janitor.collect(Path(state.root))
        collected.append(Path(state.root))
    collected += janitor.collect_abandoned(Path(tempfile.gettempdir()))
    if not place.is_taken():
        place.forget()
    return Stopped(pid, tuple(collected))
