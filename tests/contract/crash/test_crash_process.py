"""The same through the real process and its sockets: one kill for each kind of operation, and a bad disk at start."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys

import grpc
import pytest
from crash_kit.interposer import read_log
from driver_world import CARDS, DRIVER

from pydra_core._state import frames
from pydra_core._state.records import FORMAT

SWITCHED = CARDS.replace(
    "\n\nmain(",
    """
    async def unprepare(self, prepared):
        pass


main(""",
)


@pytest.fixture
def traced(world, library):
    """Variables that put the interposer between the driver and its disk."""
    plugins = world.root / "kubelet" / "plugins"
    return {
        "LD_PRELOAD": str(library),
        "CRASH_ROOTS": f"{plugins}:{world.cdi}",
        "CRASH_LOG": str(world.root / "log"),
        "CRASH_ANSWER": "/claim=",
    }


@pytest.fixture
def fault(world, traced):
    """A fault of every call below a folder that lasts until its file is removed: `fault(errno, folder)`."""

    def make(number, below):
        file = world.root / "fault"
        file.touch()
        return file, {**traced, "CRASH_FAIL_WHILE": f"{file}:{number}:{below}"}

    return make


def journal(world):
    return world.root / "kubelet" / "plugins" / DRIVER / "journal"


async def ask(call, *claims):
    """The errors in an answer, or None if the driver died over it."""
    try:
        answer = await call(*claims, seconds=10)
    except grpc.aio.AioRpcError:
        return None
    return [answer.claims[claim.uid].error for claim in claims]


KILLS = [
    ("mkdir", 1),
    ("fsync", 2),
    ("rename", 1),
    ("open", 3),
    ("write", 1),
    ("rename", 2),
    ("pwrite", 3),
    ("fdatasync", 1),
    ("unlink", 1),
]


@pytest.mark.parametrize(("call", "number"), KILLS)
async def test_killed_after_each_kind_of_operation_the_process_comes_back_right(
    world, traced, call, number
):
    first, second = await world.claim("card-0"), await world.claim("card-0")
    armed = traced | {"CRASH_KILL": f"{number}:after", "CRASH_KILL_CALL": call}
    driver = await world.start(**armed)
    steps = [(driver.prepare, first), (driver.unprepare, first), (driver.prepare, second)]
    done = 0
    for verb, claim in steps:
        if driver.process.returncode is not None or await ask(verb, claim) is None:
            break
        done += 1
    assert await driver.ended() == -9
    again = await world.start()
    for verb, claim in [(again.prepare, first), (again.unprepare, first), (again.prepare, second)][
        done:
    ]:
        assert await ask(verb, claim) == [""]
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{second.uid}.json"]
    assert await ask(again.unprepare, second) == [""]
    assert world.spec_files() == {}


@pytest.mark.parametrize("source", [CARDS, SWITCHED], ids=["plain", "changes-hardware"])
async def test_the_process_syncs_what_is_prepared_before_its_answer_leaves_the_socket(
    world, traced, source
):
    driver = await world.start(source, **traced)
    claims = [await world.claim(f"card-{n}") for n in range(3)]
    assert await ask(driver.prepare, *claims) == ["", "", ""]
    await driver.stop()
    unsynced = sent = 0
    for event in read_log(world.root / "log"):
        if event.call == "pwrite" and b'"op":"prepared"' in event.data:
            unsynced += 1
        elif event.call == "fdatasync":
            unsynced = 0
        elif event.call == "sent":
            sent += 1
            assert unsynced == 0
    assert sent


async def test_a_torn_last_record_costs_only_the_claim_that_was_never_answered(world):
    driver = await world.start()
    known, torn = await world.claim("card-0"), await world.claim("card-1")
    await driver.prepare(known)
    await driver.prepare(torn)
    await driver.stop()
    data = journal(world).read_bytes()
    journal(world).write_bytes(data[:-5])
    again = await world.start()
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{known.uid}.json"]
    assert await ask(again.prepare, known, torn) == ["", ""]
    assert await ask(again.unprepare, known, torn) == ["", ""]
    assert {f.name for f in journal(world).parent.glob("journal*")} == {"journal", "journal.lock"}


async def test_a_flipped_last_record_costs_only_its_claim_and_is_kept_and_logged(world):
    driver = await world.start()
    known, flipped = await world.claim("card-0"), await world.claim("card-1")
    await driver.prepare(known)
    await driver.prepare(flipped)
    await driver.stop()
    data = bytearray(journal(world).read_bytes())
    data[-10] ^= 4
    journal(world).write_bytes(data)
    again = await world.start()
    assert await ask(again.prepare, known, flipped) == ["", ""]
    (aside,) = journal(world).parent.glob("journal.damaged-*")
    assert aside.read_bytes() == data
    assert await ask(again.unprepare, known, flipped) == ["", ""]
    await again.stop()
    assert "journal is damaged" in again.logged()
    assert str(aside) in again.logged()


async def test_a_damaged_journal_on_a_full_disk_serves_known_claims_and_is_set_aside_once_there_is_space(
    world, fault
):
    driver = await world.start()
    known, new = await world.claim("card-0"), await world.claim("card-1")
    await driver.prepare(await world.claim("card-2"), known)
    await driver.stop()
    data = bytearray(journal(world).read_bytes())
    data[frames.HEADER_SIZE + 20] ^= 1
    journal(world).write_bytes(data)
    file, armed = fault(errno.ENOSPC, f"{journal(world)}.new")
    driver = await world.start(**armed)
    (kept, refused) = await ask(driver.prepare, known, new)
    assert kept == ""
    assert "cannot be written: No space left on device" in refused
    assert journal(world).read_bytes() == data
    file.unlink()
    assert await ask(driver.prepare, known, new) == ["", ""]
    (aside,) = journal(world).parent.glob("journal.damaged-*")
    assert aside.read_bytes() == data


async def test_a_journal_of_a_newer_version_stops_the_start_with_code_2_and_stays_as_it_is(world):
    journal(world).parent.mkdir(parents=True)
    data = frames.header(FORMAT + 1) + b"who knows"
    journal(world).write_bytes(data)
    driver = await world.start()
    assert await driver.ended() == 2
    assert f"journal {journal(world)}: written by a newer driver" in driver.logged()
    assert "run that version again or drain the node" in driver.logged()
    assert journal(world).read_bytes() == data


async def test_a_file_that_is_no_journal_is_set_aside_and_the_driver_serves(world):
    journal(world).parent.mkdir(parents=True)
    journal(world).write_bytes(b"precious notes of somebody else")
    driver = await world.start()
    claim = await world.claim("card-0")
    assert await ask(driver.prepare, claim) == [""]
    (aside,) = journal(world).parent.glob("journal.damaged-*")
    assert aside.read_bytes() == b"precious notes of somebody else"


@pytest.mark.parametrize("known", [False, True], ids=["new", "with-claims"])
async def test_a_read_only_journal_directory_stops_the_start_with_code_2(world, fault, known):
    if known:
        driver = await world.start()
        await driver.prepare(await world.claim("card-0"))
        await driver.stop()
        before, files = journal(world).read_bytes(), world.spec_files()
    _, armed = fault(errno.EROFS, world.root / "kubelet" / "plugins")
    driver = await world.start(**armed)
    assert await driver.ended() == 2
    assert f"{journal(world)}.lock: cannot be opened: Read-only file system" in driver.logged()
    assert "check the mount" in driver.logged()
    assert "Traceback" not in driver.logged()
    if known:
        assert (journal(world).read_bytes(), world.spec_files()) == (before, files)


async def test_a_full_journal_disk_at_start_is_told_to_each_claim_and_mends_by_itself(world, fault):
    driver = await world.start()
    known, new = await world.claim("card-0"), await world.claim("card-1")
    await driver.prepare(known)
    await driver.stop()
    file, armed = fault(errno.ENOSPC, f"{journal(world)}.new")
    driver = await world.start(**armed)
    assert await ask(driver.prepare, known, new) == ["", ""]
    assert await ask(driver.unprepare, known, new) == ["", ""]
    file.unlink()
    assert await ask(driver.prepare, known) == [""]
    await driver.stop()
    assert "the old file stays in use; free space on its disk" in driver.logged()


async def test_a_journal_disk_that_fails_while_serving_is_told_to_each_claim(world, fault):
    file, armed = fault(errno.ENOSPC, journal(world))
    file.unlink()
    driver = await world.start(**armed)
    known, new = await world.claim("card-0"), await world.claim("card-1")
    await driver.prepare(known)
    file.touch()
    (kept, refused) = await ask(driver.prepare, known, new)
    assert kept == ""
    assert f"journal {journal(world)}: cannot be written: No space left on device; check" in refused
    assert "cannot be written" in (await ask(driver.unprepare, known))[0]
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{known.uid}.json"]
    file.unlink()
    assert await ask(driver.prepare, known, new) == ["", ""]
    assert await ask(driver.unprepare, known, new) == ["", ""]
    assert world.spec_files() == {}


@pytest.mark.parametrize(
    ("name", "says"), [("EROFS", "mount the file system read-write"), ("ENOSPC", "free space")]
)
async def test_a_cdi_directory_that_takes_nothing_at_start_is_told_to_each_claim_and_known_ones_can_go(
    world, fault, name, says
):
    driver = await world.start()
    known, other, new = [await world.claim(f"card-{n}") for n in range(3)]
    await driver.prepare(known, other)
    await driver.stop()
    shutil.rmtree(world.cdi)
    file, armed = fault(getattr(errno, name), world.cdi)
    driver = await world.start(**armed)
    for error in await ask(driver.prepare, known, new):
        assert str(world.cdi) in error
        assert says in error
    assert await ask(driver.unprepare, known) == [""]
    file.unlink()
    assert await ask(driver.prepare, other, new) == ["", ""]
    assert len(world.spec_files()) == 2
    assert await ask(driver.unprepare, other, new) == ["", ""]
    assert world.spec_files() == {}


async def test_a_file_in_the_place_of_the_cdi_directory_is_told_to_each_claim_and_known_ones_can_go(
    world,
):
    driver = await world.start()
    known, other, new = [await world.claim(f"card-{n}") for n in range(3)]
    await driver.prepare(known, other)
    await driver.stop()
    shutil.rmtree(world.cdi)
    world.cdi.write_text("in the way")
    driver = await world.start()
    for error in await ask(driver.prepare, other, new):
        assert str(world.cdi) in error
        assert "remove the file that stands where a directory belongs" in error
    assert await ask(driver.unprepare, known) == [""]
    assert world.cdi.read_text() == "in the way"
    world.cdi.unlink()
    assert await ask(driver.prepare, other, new) == ["", ""]


BROKEN_UNDO = SWITCHED.replace(
    "        pass\n", '        raise RuntimeError("the lever is stuck")\n'
)


async def test_an_undo_that_fails_at_start_keeps_no_driver_from_serving(world, traced):
    first, second = await world.claim("card-0"), await world.claim("card-1")
    armed = traced | {"CRASH_KILL": "1:after", "CRASH_KILL_CALL": "fdatasync"}
    driver = await world.start(SWITCHED, **armed)
    assert await ask(driver.prepare, first) is None
    await driver.ended()
    driver = await world.start(BROKEN_UNDO)
    assert await ask(driver.prepare, second) == [""]
    assert "the lever is stuck" in (await ask(driver.unprepare, first))[0]
    await driver.stop()
    driver = await world.start(SWITCHED)
    assert await ask(driver.unprepare, first, second) == ["", ""]


LATE = """
import asyncio
import sys
from pathlib import Path
from pydra_core._state.journal import Journal
from pydra_core._state.records import Prepared


async def late():
    journal = Journal(Path(sys.argv[1]))
    print(*(r.uid for r in journal.ledger.all_prepared()))
    await journal.transact(lambda _: [Prepared("late", "ns", "late", (), ())], durable=True)
    await journal.close()


asyncio.run(late())
"""


def _start(command, environ):
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)


async def test_a_journal_that_is_replaced_between_open_and_lock_is_followed(world, traced):
    """A second instance opens the file, and before it locks it the first one puts another in its place."""
    first = await world.start()
    claim = await world.claim("card-0")
    stopped = traced | {"CRASH_KILL": "2:stop", "CRASH_KILL_CALL": "open"}
    command = [sys.executable, "-c", LATE, str(journal(world))]
    with _start(command, os.environ | stopped) as late:
        await asyncio.to_thread(os.waitpid, late.pid, os.WUNTRACED)
        await first.prepare(claim)
        await first.stop()
        again = await world.start()  # rewrites it
        late.send_signal(signal.SIGCONT)
        out = await asyncio.to_thread(late.stdout.read)
    assert out.decode().split() == [claim.uid]
    assert await ask(again.prepare, claim) == [""]
    await again.stop()
    assert b'"uid":"late"' in journal(world).read_bytes()
