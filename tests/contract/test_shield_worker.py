"""The worker as a process: what it inherits and hands on, what its library's children get, and what stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from saboteurs import library, make, sabotage

from pydra_core.errors import VendorCrashedError, VendorTimeoutError

__all__ = ["library", "sabotage"]

LOOKS = """
import os, resource, signal, subprocess, sys, time
from pathlib import Path
from pydra_core.sdk import events, mutates, reads

if "CRASHES" in os.environ and not Path(os.environ["CRASHES"]).exists():
    Path(os.environ["CRASHES"]).touch()
    os.kill(os.getpid(), signal.SIGSEGV)

@reads
def looks():
    score = Path("/proc/self/oom_score_adj").read_text().strip()
    return os.getsid(0), resource.getrlimit(resource.RLIMIT_CORE), score

@reads
def descriptors_of_a_child():
    shown = "import os; print(*sorted(os.listdir('/proc/self/fd')))"
    told = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, close_fds=False)
    return told.stdout.split()

@mutates
def note(path):
    with Path(path).open("a") as file:
        file.write("x")

@reads
def answers_when_told_to_end():
    def raises(*_):
        raise LookupError("too late")
    signal.signal(signal.SIGABRT, raises)
    time.sleep(60)

@mutates
def forge(head):
    os.write(int(sys.argv[2]), bytes(head))
    signal.pause()

@mutates
def falls_silent():
    os.close(int(sys.argv[2]))
    signal.pause()

@events
def flood(count, path):
    yield from range(count)
    Path(path).touch()
"""


@pytest.fixture
async def odd(library, tmp_path):
    (tmp_path / "looks_sdk.py").write_text(LOOKS)
    made = make(library, module="looks_sdk", PYTHONPATH=str(tmp_path))
    try:
        yield made
    finally:
        await made.shield.close()


def descriptors():
    """What this process has open, but for the folder it looks into."""
    every = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return sorted(str(fd.readlink()).partition(":")[0] for fd in every)


def kill(pid):
    """Kill a worker, as the kernel does when memory runs out; the driver has not heard of it yet."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def test_it_has_a_session_of_its_own_dumps_no_core_and_is_the_first_to_go(odd):
    session, core, score = await odd.shield(odd.card.looks)
    assert session != os.getsid(0)
    assert core == [0, 0]
    assert score == "1000"


async def test_programs_that_a_library_starts_get_none_of_its_descriptors(odd):
    assert await odd.shield(odd.card.descriptors_of_a_child) == ["0", "1", "2", "3"]


async def test_workers_that_crashed_leave_no_descriptor_open(sabotage):
    await sabotage.shield(sabotage.card.pid)
    with pytest.raises(VendorCrashedError):
        await sabotage.shield(sabotage.card.change, "null")
    before = descriptors()
    for _ in range(2):
        await sabotage.shield(sabotage.card.pid)
        with pytest.raises(VendorCrashedError):
            await sabotage.shield(sabotage.card.change, "abort")
        assert descriptors() == before


async def test_a_worker_that_has_just_died_is_no_error_of_the_driver(sabotage):
    for call, fails in ((sabotage.card.count, False), (sabotage.card.change, True)):
        pid = await sabotage.shield(sabotage.card.pid)
        kill(pid)
        if fails:
            with pytest.raises(VendorCrashedError, match="was killed by SIGKILL; "):
                await sabotage.shield(call, "hang")
        else:
            assert await sabotage.shield(call) == 4


async def test_an_import_that_crashed_once_is_tried_once_more_also_for_a_change(library, tmp_path):
    (tmp_path / "looks_sdk.py").write_text(LOOKS)
    crashed, noted = tmp_path / "crashed", tmp_path / "noted"
    made = make(library, module="looks_sdk", PYTHONPATH=str(tmp_path), CRASHES=str(crashed))
    await made.shield(made.card.note, str(noted))
    assert (noted.read_text(), made.ended) == ("x", ["VendorCrashed"])
    await made.shield.close()


async def test_an_answer_after_the_deadline_comes_too_late(odd):
    with pytest.raises(VendorTimeoutError):
        await odd.shield(odd.card.answers_when_told_to_end, timeout=0.1)


async def test_a_length_beyond_all_reason_is_not_waited_for(odd):
    with pytest.raises(VendorCrashedError, match="sent rubbish"):
        await odd.shield(odd.card.forge, [255] * 8)


async def test_a_worker_that_closes_its_channel_and_lives_on_is_killed(odd):
    with pytest.raises(VendorCrashedError, match="closed its channel, for which it was killed"):
        await odd.shield(odd.card.falls_silent, timeout=60)


async def test_the_deadline_of_a_call_ends_with_it(sabotage, tmp_path):
    loop = asyncio.get_running_loop()
    await sabotage.shield(sabotage.card.pid)
    await sabotage.shield(sabotage.card.pid, timeout=1.0)
    loop.call_later(1.1, (tmp_path / "go").touch)
    assert await sabotage.shield(sabotage.card.wait_for, str(tmp_path / "go"), timeout=60) == "seen"


async def test_a_reload_waits_for_what_nobody_waits_for_any_more(sabotage, tmp_path):
    await sabotage.shield(sabotage.card.pid)
    call = asyncio.ensure_future(
        sabotage.shield(sabotage.card.wait_for, str(tmp_path / "go"), timeout=60)
    )
    await asyncio.sleep(0)
    call.cancel()
    reload = asyncio.ensure_future(sabotage.shield.reload(sabotage.card))
    for _ in range(5):
        await asyncio.sleep(0)
    assert sabotage.ended == []
    (tmp_path / "go").touch()
    await reload
    assert (sabotage.ended, sabotage.calls[-1]) == (["VendorReload"], ("wait_for", ""))


async def test_a_worker_whose_events_nobody_takes_has_to_wait(odd, tmp_path):
    stream = odd.shield.events(odd.card.flood, 10_000, str(tmp_path / "all told"))
    assert await anext(stream) == 0
    for _ in range(1000):
        await odd.shield(odd.card.looks)
    assert not (tmp_path / "all told").exists()
    await stream.aclose()
