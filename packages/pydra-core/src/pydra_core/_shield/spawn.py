"""Starts the process of a worker and gives it its descriptors. Called on the event loop's own thread.

Never fork under gRPC, and never from another thread: the kernel ends the worker when the *thread* that started
it ends (prctl PR_SET_PDEATHSIG). `subprocess` uses vfork and exec, which takes about two milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydra_core._shield import wire
from pydra_core.errors import HostError
from pydra_core.sdk import SdkSpec

_PROGRAM = str(Path(__file__).with_name("worker.py"))
_TRACE = 32_000


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process and this side's ends.

    Attributes:
        process: Its ID is valid until it is reaped.
        pidfd: Becomes readable at its end.
        requests: Where frames for it are written.
        answers: Where its frames are read.
        output: What the library prints on descriptors 1 and 2.
        trace: A file in memory for faulthandler; read after the end.
    """

    process: subprocess.Popen[bytes]
    pidfd: int
    requests: int
    answers: int
    output: int
    trace: int

    def read_trace(self) -> str:
        """What the worker left there, at most 32 KB."""
        return os.pread(self.trace, _TRACE, 0).decode(errors="replace").strip()

    def close(self) -> None:
        """Give the descriptors back, except the channel's, which has an owner of its own."""
        for fd in (self.pidfd, self.output, self.trace):
            os.close(fd)


def spawn(spec: SdkSpec) -> Spawned:
    """Start a worker; it loads the SDK module and says what is in it.

    Raises:
        HostError: the node has no room for another process.
    """
    their_requests, requests = os.pipe()
    answers, their_answers = os.pipe()
    output, printed = os.pipe()
    trace = os.memfd_create("trace")
    try:
        process = _popen(spec, [their_requests, their_answers, trace], printed)
        pidfd = os.pidfd_open(process.pid)
    except OSError as err:
        for fd in (requests, answers, output, trace):
            os.close(fd)
        raise HostError(
            f"SDK module {spec.module}: its worker cannot be started: {err.strerror}; look at the limits of this"
            " container for processes and memory"
        ) from err
    finally:
        for fd in (their_requests, their_answers, printed):
            os.close(fd)
    for fd in (requests, answers, output):
        os.set_blocking(fd, False)
    said = wire.Start(spec.module, sys.path, os.getpid(), spec.memory)
    with contextlib.suppress(BrokenPipeError):  # it has just died: its end tells
        os.write(requests, wire.start(said))  # a few kilobytes at most: an empty pipe takes them
    return Spawned(process, pidfd, requests, answers, output, trace)


def _popen(spec: SdkSpec, fds: Sequence[int], printed: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", _PROGRAM, *map(str, fds)],
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=printed,
        pass_fds=fds,
        env=os.environ | dict(spec.environ),
        start_new_session=True,  # a terminal's Ctrl-C is for the driver, which ends its workers itself
    )
