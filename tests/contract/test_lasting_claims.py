"""Claims over what happens to a node: a passing trouble, a reboot, a lost journal, numbers that change."""

from __future__ import annotations

import asyncio
import os
import signal
import stat

import pytest
from driver_world import CARDS, DRIVER

from pydra_testbed.api import write_kubeconfig

PREPARE = '        return [a.prepared(ContainerEdits(env=[f"CARD_{a.request}={a.device}"])) for a in claim.allocations]\n'

COUNTING = CARDS.replace(
    "from pydra_cdi",
    """from pathlib import Path
from pydra_core import DeviceUnhealthyError, TerminalError
from pydra_core.errors import DeviceBusyError, TransientError
CALLS = Path(__file__).with_name("calls")
from pydra_cdi""",
    1,
).replace(
    PREPARE,
    """        with CALLS.open("a") as calls:
            calls.write("prepare\\n")
        tries = len(CALLS.read_text().split())
"""
    + PREPARE,
)
assert "tries" in COUNTING

RESETTING = COUNTING.replace(
    "        return [a.prepared(",
    """        class ResettingError(TransientError, DeviceUnhealthyError):
            reason = "Resetting"
        if tries < 4:
            raise ResettingError(f"device card-0: resets, try {tries}; wait")
        return [a.prepared(""",
)
TIMING_OUT = COUNTING.replace(
    "        return [a.prepared(",
    """        if tries < 3:
            raise TimeoutError("the vendor's daemon does not answer")
        return [a.prepared(""",
)
HOPELESS = COUNTING.replace(
    "        return [a.prepared(",
    """        class GoneForGoodError(TerminalError, DeviceBusyError):  # which alone would be repeated
            reason = "GoneForGood"
        raise GoneForGoodError("device card-0: burnt; replace it")
        return [a.prepared(""",
)
MISTAKEN = COUNTING.replace("        return [a.prepared(", "        return [a.perpared(")
CHANGING = COUNTING.replace(
    "main(CardDriver)",
    """class Changing(CardDriver):
    async def unprepare(self, prepared) -> None:
        with CALLS.open("a") as calls:
            calls.write("unprepare\\n")


main(Changing)""",
)
ABLE = CHANGING.replace(
    "    async def unprepare",
    "    def changes(self, claim):\n        return False\n\n    async def unprepare",
)


STUCK = CHANGING.replace(
    """            calls.write("unprepare\\n")
""",
    """            calls.write("unprepare\\n")
        if CALLS.read_text().split().count("unprepare") == 1:
            raise RuntimeError("the card is stuck")
""",
)
assert "stuck" in STUCK


def calls(world):
    path = world.root / "calls"
    return path.read_text().split() if path.exists() else []


async def ask(call, claim):
    return (await call(claim)).claims[claim.uid]


@pytest.mark.parametrize(("source", "tries"), [(RESETTING, 4), (TIMING_OUT, 3)])
async def test_what_passes_by_itself_is_repeated_inside_the_call(world, source, tries):
    driver = await world.start(source)
    claim = await world.claim("card-0")
    assert (await ask(driver.prepare, claim)).error == ""
    assert len(calls(world)) == tries


@pytest.mark.parametrize(
    ("source", "says"),
    [(HOPELESS, "device card-0: burnt"), (MISTAKEN, "AttributeError")],
)
async def test_what_will_not_pass_is_answered_at_once_and_frees_the_device(world, source, says):
    driver = await world.start(source)
    claim = await world.claim("card-0")
    assert says in (await ask(driver.prepare, claim)).error
    assert len(calls(world)) == 1
    await driver.stop()
    other = await world.claim("card-0")
    assert (await ask((await world.start()).prepare, other)).error == ""


async def test_a_claim_whose_unprepare_broke_off_is_undone_before_it_is_prepared_anew(world):
    driver = await world.start(STUCK)
    claim = await world.claim("card-0")
    first = await driver.prepare(claim)
    assert "the card is stuck" in (await ask(driver.unprepare, claim)).error
    assert await driver.prepare(claim) == first
    assert calls(world) == ["prepare", "unprepare", "unprepare", "prepare"]


@pytest.mark.parametrize(("source", "again"), [(COUNTING, 0), (CHANGING, 1), (ABLE, 0)])
async def test_after_a_reboot_only_what_the_hardware_forgot_is_prepared_again(world, source, again):
    boot = world.root / "boot_id"
    boot.write_text("first\n")
    driver = await world.start(source, BOOT_ID_FILE=str(boot))
    claim = await world.claim("card-0")
    first = await driver.prepare(claim)
    await driver.stop()
    boot.write_text("second\n")
    for file in world.cdi.iterdir():
        file.unlink()
    driver = await world.start(source, BOOT_ID_FILE=str(boot))
    assert await driver.prepare(claim) == first
    assert await driver.prepare(claim) == first
    assert calls(world) == ["prepare"] * (1 + again)
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{claim.uid}.json"]
    assert (await ask(driver.unprepare, claim)).error == ""


BARE = CARDS.replace("for a in claim", 'if a.device != "card-2" else a.prepared() for a in claim')


async def test_a_lost_journal_does_not_free_what_spec_files_still_tell(world):
    """A device without edits is in no spec file: the claim is prepared again before it is answered."""
    driver = await world.start(BARE)
    claim, other = await world.claim("card-0", "card-1", "card-2"), await world.claim("card-1")
    first = await driver.prepare(claim)
    await driver.stop()
    for file in (world.root / "kubelet" / "plugins" / DRIVER).glob("journal*"):
        file.unlink()
    files = world.spec_files()
    driver = await world.start(BARE)
    assert world.spec_files() == files
    assert "card-1" in (await ask(driver.prepare, other)).error
    assert await driver.prepare(claim) == first
    assert (await ask(driver.unprepare, claim)).error == ""
    assert world.spec_files() == {}
    assert (await ask(driver.prepare, other)).error == ""


async def test_a_damaged_journal_is_set_aside_and_spec_files_tell_what_it_lost(world):
    driver = await world.start()
    known, lost = await world.claim("card-0"), await world.claim("card-1")
    for claim in (known, lost):
        await driver.prepare(claim)
    await driver.stop()
    journal = world.root / "kubelet" / "plugins" / DRIVER / "journal"
    data = bytearray(journal.read_bytes())
    data[data.rindex(b'"op":"prepared"')] ^= 1
    journal.write_bytes(data)
    driver = await world.start()
    (line,) = [x for x in driver.logged().splitlines() if "read back from its spec file" in x]
    assert lost.uid in line
    other = await world.claim("card-1")
    assert lost.uid in (await ask(driver.prepare, other)).error
    assert (await ask(driver.unprepare, lost)).error == ""
    assert (await ask(driver.prepare, other)).error == ""
    assert len(list(journal.parent.glob("journal.damaged-*"))) == 1


NODES = COUNTING.replace(
    'ContainerEdits(env=[f"CARD_{a.request}={a.device}"])',
    "ContainerEdits(device_nodes=[node(a.device)])",
).replace(
    "class CardDriver",
    """import os
from pydra_cdi import DeviceNode


def node(name):
    path = str(CALLS.with_name(name))
    device = os.stat(path).st_rdev
    return DeviceNode(f"/dev/{name}", host_path=path, type="c", major=os.major(device), minor=os.minor(device))


class CardDriver""",
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
async def test_a_node_whose_numbers_changed_is_prepared_anew_before_it_is_answered(world):
    path = world.root / "card-0"
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    driver = await world.start(NODES)
    claim = await world.claim("card-0")
    first = await driver.prepare(claim)
    assert await driver.prepare(claim) == first
    assert len(calls(world)) == 1
    path.unlink()
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    assert await driver.prepare(claim) == first
    assert len(calls(world)) == 2
    (content,) = world.spec_files().values()
    assert b'"minor":5' in content


async def test_sighup_takes_over_what_can_change_and_names_what_needs_a_restart(world):
    file = world.root / "settings.yaml"
    file.write_text("log_level: info\n")
    driver = await world.start(arguments=["--config", str(file)])
    file.write_text("log_level: debug\ncdi_dir: /elsewhere\ndrain_timeout: 3\n")
    os.kill(driver.process.pid, signal.SIGHUP)
    await driver.says("settings reloaded")
    assert "changed=drain_timeout,log_level" in driver.logged()
    await driver.prepare()
    await driver.says("DEBUG")
    file.write_text("log_level: [broken\n")
    os.kill(driver.process.pid, signal.SIGHUP)
    await driver.says("settings not reloaded")
    assert driver.process.returncode is None


async def test_sigusr2_tells_where_every_thread_and_task_is(world):
    driver = await world.start()
    os.kill(driver.process.pid, signal.SIGUSR2)
    await driver.says("stack of a task")
    assert "stack of a thread" in driver.logged()
    assert (await ask(driver.prepare, await world.claim("card-0"))).error == ""


async def test_a_deadline_names_whom_the_claim_waits_for(world):
    async def never_answer(reader, writer):
        await reader.read()
        writer.close()

    hanging = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    kubeconfig = write_kubeconfig(world.root / "hanging", f"http://127.0.0.1:{port}")
    driver = await world.start(KUBECONFIG=str(kubeconfig))
    claim = await world.claim("card-0")
    late = (await driver.prepare(claim, seconds=3)).claims[claim.uid]
    assert "it waits for the API server" in late.error
    behind = (await driver.unprepare(claim, seconds=3)).claims[claim.uid]
    assert "the prepare before it waits for the API server" in behind.error
    await driver.stop(kill=True)
    hanging.close()
    await asyncio.sleep(0)
