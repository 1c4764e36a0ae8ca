"""SHIELD: a vendor's library that reports errors, crashes, hangs or hungers, in its worker process.

The kit does to the worker what a library would: it stops and kills it, and for SHIELD-01 it puts itself before the
library's functions (`interposed`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydra_testbed.conformance.asking import prepared, unprepared
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet import ClaimRef

_NOBODY = ClaimRef("default", "claim-nobody", "11111111-2222-4333-8444-666666666666")
_PROGRAM = b"/_shield/worker.py"
_CRASHES = 3
_INTERPOSED = Path(__file__).parents[1] / "interposed"
_CODE = "code 15"


async def _error(stand: Stand) -> None:
    folder = stand.root / "library"
    folder.mkdir()
    places = [str(_INTERPOSED), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(place for place in places if place)
    stand.variables = {
        **stand.variables, "PYTHONPATH": path, "CONFORMANCE_LIBRARY": str(folder)
    }  # fmt: skip
    await stand.start()
    await stand.published()
    worker = _worker(stand)
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    (folder / "fails").touch()
    answer = (await stand.driver.prepare(ref)).get(ref.uid)
    if not (folder / "failed").exists():
        raise UnsuitedError("white box: it prepares a claim without asking the library")
    if answer is None or _CODE not in answer.error:
        seen = answer.error or "success" if answer else "the claim is missing in the answer"
        raise NotMetError("an error of the claim that says what the library said", seen)
    if _worker(stand) != worker:
        raise NotMetError("the same worker after an error that it reported", "another one")
    (folder / "fails").unlink()
    await prepared(stand, ref)
    await unprepared(stand, ref)


async def _hang(stand: Stand) -> None:
    worker = _worker(stand)
    async with _stopped(stand, worker), asyncio.timeout(stand.limits.notice):
        await unprepared(stand, _NOBODY)
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    await prepared(stand, ref)
    await unprepared(stand, ref)


async def _crash(stand: Stand) -> None:
    first, second = [await stand.claim(stand.use(d)) for d in stand.devices(2)]
    before = await prepared(stand, first)
    await _kill(stand)
    await prepared(stand, second)
    if await prepared(stand, first) != before:
        raise NotMetError("the answer of before the crash", "another one")
    if stand.driver.process.code is not None:
        raise NotMetError("a driver that goes on", f"it ended with {stand.driver.process.code}")
    for ref in (first, second):
        await unprepared(stand, ref)


async def _memory(stand: Stand) -> None:
    held = _limits(_worker(stand))
    if all("unlimited" in line.split()[3:5] for line in held):
        raise NotMetError("a worker that may hold only so much memory", "; ".join(held))


def _limits(pid: int) -> list[str]:
    """What the kernel holds a process to, of its memory."""
    lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    return [line for line in lines if line.startswith(("Max data size", "Max address space"))]


async def _unkillable(stand: Stand) -> None:
    worker = _worker(stand)
    async with _stopped(stand, worker):
        if not await stand.driver.process.stop(stand.limits.stop):
            raise NotMetError("an end in time beside a worker that answers nothing", "it went on")
        await _gone(stand, worker)


async def _loop(stand: Stand) -> None:
    _worker(stand)
    kept, other = stand.devices(2)
    ref = await stand.claim(stand.use(kept))
    await prepared(stand, ref)
    for _ in range(_CRASHES):
        short = await stand.claim(stand.use(other))
        await prepared(stand, short)
        with contextlib.suppress(UnsuitedError):  # it was not needed
            await _kill(stand)
        await unprepared(stand, short)
    await unprepared(stand, ref)


def _worker(stand: Stand) -> int:
    """The process ID of a worker of the driver."""
    driver = stand.driver.process.child.pid
    children = Path(f"/proc/{driver}/task/{driver}/children").read_text(encoding="ascii").split()
    for pid in map(int, children):
        with contextlib.suppress(OSError):
            if _PROGRAM in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    raise UnsuitedError("white box: it has no worker of pydra-core's shield")


async def _kill(stand: Stand) -> None:
    """Let a worker die as of a null pointer, and wait until the driver has noticed."""
    worker = _worker(stand)
    os.kill(worker, signal.SIGSEGV)
    await _gone(stand, worker)


async def _gone(stand: Stand, pid: int) -> None:
    """Wait for its end; a zombie is one that the driver has not noticed."""
    process = Path(f"/proc/{pid}")
    seconds = stand.limits.notice
    await stand.until("the end of a worker that died", lambda: not process.exists(), seconds)


@asynccontextmanager
async def _stopped(stand: Stand, pid: int) -> AsyncIterator[None]:
    """It answers nothing, as one that hangs in the library."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await stand.until("a worker that stands still", lambda: _stands(pid), stand.limits.notice)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _stands(pid: int) -> bool:
    """Whether the signal has arrived: the state follows the program's name (proc(5))."""
    state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    return state == "T"


CASES = (
    Case(
        "SHIELD-01", "an error that a library reports is the claim's error, in its words, and costs nothing else",
        "The pod shows the text; an error that is swallowed gives a pod a device that was never set up.",
        "Let what `self.sdk` raises end `prepare`, or translate it in the SDK module.",
        _error, Conditions(own=True, starts=False),
    ),
    Case(
        "SHIELD-02", "a library that hangs holds up no other call",
        "Vendors' libraries wait for hardware that does not come back; the kubelet has 45 s for everything.",
        "Call the library with a deadline, in a process of its own, and never on the event loop.",
        _hang,
    ),
    Case(
        "SHIELD-03", "a library that crashes costs its worker, and claims are prepared and undone as before",
        "A null pointer in C code ends its process; with the driver would go its registration.",
        "Call it through `self.sdk`, and let `prepare` look before it changes hardware.",
        _crash,
    ),
    Case(
        "SHIELD-04", "the worker may hold only so much memory",
        "A library that leaks would take the container with it, and the driver.",
        "Leave `memory` of `Sdk` at its default, or give what the library really needs.",
        _memory,
    ),
    Case(
        "SHIELD-05", "a worker that answers nothing does not hold up the driver's end, and is not left behind",
        "A node that is drained or upgraded must not wait for a library that hangs.",
        "Wait for a worker only so long; the kernel ends it with its driver (PR_SET_PDEATHSIG).",
        _unkillable, Conditions(own=True),
    ),
    Case(
        "SHIELD-06", "a library that crashes again and again does not keep claims from being undone",
        "A pod ends only when its claims are unprepared.",
        "Let `unprepare` need as little of the library as it can.",
        _loop,
    ),
)  # fmt: skip
