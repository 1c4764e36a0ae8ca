"""Traps of docs/dev/rows.md that no other test steps into, through a driver's own sockets."""

from __future__ import annotations

import ast
import asyncio
import json
import stat
from importlib.metadata import requires
from pathlib import Path

from driver_world import CARDS, DRIVER, NODE

import pydra_core
from pydra_cdi import Registry, inject
from pydra_core._node.sockets import is_served
from pydra_core._proto import dra_v1beta1_pb2
from pydra_core._state import frames
from pydra_core._state.records import FORMAT
from pydra_testbed.objects import ObjectRef, Patch

PREPARE = "        return [a.prepared"
GATE = """
import asyncio
from pathlib import Path
from pydra_core import DeviceGoneError
HERE = Path(__file__).parent


async def wait_for(name):
    HERE.joinpath(f"asked-{name}").touch()
    while not HERE.joinpath(name).exists():
        await asyncio.sleep(0.01)
"""
SLOW = (GATE + CARDS).replace(
    PREPARE,
    '        if claim.allocations[0].device == "card-3":\n            await wait_for("gate")\n'
    + PREPARE,
)
UNPLUGGED = (GATE + CARDS).replace(
    PREPARE,
    '        if not HERE.joinpath("plugged").exists():\n'
    '            raise DeviceGoneError("device card-0: is gone; plug it in again")\n' + PREPARE,
)
STUCK = (GATE + CARDS).replace(
    "main(CardDriver)",
    """class Stuck(CardDriver):
    async def unprepare(self, prepared) -> None:
        if not HERE.joinpath("reset").exists():
            raise DeviceGoneError("device card-0: does not reset; cycle its power")


main(Stuck)""",
)
SLOW_DISK = (
    """
import os
import time
from pathlib import Path
SYNC, GATE = os.fdatasync, Path(__file__).with_name("gate")


def slow(descriptor):
    GATE.with_name("syncing").touch()
    while not GATE.exists():
        time.sleep(0.01)
    SYNC(descriptor)


os.fdatasync = slow
"""
    + CARDS
)


async def seen(path):
    """Wait until a file is there."""
    while not path.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)


async def error(call, claim):
    return (await call(claim)).claims[claim.uid].error


async def test_the_dra_socket_answers_before_the_registration_socket_is_there(world):
    starting = asyncio.ensure_future(world.start())
    while not world.registration_socket.exists():  # noqa: ASYNC110 - without a pause, to be early
        await asyncio.sleep(0)
    assert is_served(world.dra_socket)
    await starting


async def test_a_retry_needs_no_api_server_for_a_claim_that_was_read_once(world):
    driver = await world.start(UNPLUGGED)
    claim = await world.claim("card-0")
    assert "device card-0: is gone" in await error(driver.prepare, claim)
    (world.root / "plugged").touch()
    with world.server.faults.unreachable():
        assert await error(driver.prepare, claim) == ""


async def test_a_slow_claim_holds_up_no_other_and_a_stop_lets_it_finish(world):
    driver = await world.start(SLOW)
    slow, quick = await world.claim("card-3"), await world.claim("card-0")
    begun = asyncio.ensure_future(driver.prepare(slow))
    await seen(world.root / "asked-gate")
    assert await error(driver.prepare, quick) == ""
    driver.process.terminate()
    await driver.says("stopping")
    (world.root / "gate").touch()
    assert (await begun).claims[slow.uid].error == ""
    assert await driver.ended() == 0


async def test_a_device_whose_claim_is_about_to_be_unprepared_is_waited_for(world):
    driver = await world.start(LOG_LEVEL="debug")
    old, new = await world.claim("card-0"), await world.claim("card-0")
    await driver.prepare(old)
    waiting = asyncio.ensure_future(driver.prepare(new))
    await driver.says("reason=DeviceBusy")
    assert await error(driver.unprepare, old) == ""
    assert (await waiting).claims[new.uid].error == ""


async def test_an_unprepare_that_fails_keeps_the_device_and_the_retry_frees_it(world):
    driver = await world.start(STUCK)
    claim, other = await world.claim("card-0"), await world.claim("card-0")
    await driver.prepare(claim)
    assert "does not reset; cycle its power" in await error(driver.unprepare, claim)
    refused = (await driver.prepare(other, seconds=3)).claims[other.uid].error
    assert claim.name in refused
    (world.root / "reset").touch()
    assert await error(driver.unprepare, claim) == ""
    assert await error(driver.prepare, other) == ""


async def test_a_claim_whose_object_is_gone_stays_prepared_until_the_kubelet_asks(world):
    driver = await world.start()
    claim = await world.claim("card-0")
    before = await driver.prepare(claim)
    files = world.spec_files()
    await world.api.delete(ObjectRef("resourceclaims", claim.name, claim.namespace))
    await driver.stop(kill=True)
    driver = await world.start()
    assert world.spec_files() == files
    assert await driver.prepare(claim) == before
    assert await error(driver.unprepare, claim) == ""
    assert world.spec_files() == {}


async def test_admin_access_is_given_beside_the_owner_and_takes_nothing_from_it(world):
    driver = await world.start()
    device = {"driver": DRIVER, "pool": NODE, "device": "card-0"}
    label = {"resource.kubernetes.io/admin-access": "true"}
    await world.api.patch(
        ObjectRef("namespaces", "default"), Patch({"metadata": {"labels": label}})
    )
    owner, admin = await world.claim("card-0"), await world.claim(device | {"adminAccess": True})
    first = await driver.prepare(owner)
    assert await error(driver.prepare, admin) == ""
    assert await error(driver.unprepare, admin) == ""
    assert await driver.prepare(owner) == first
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{owner.uid}.json"]


async def test_what_is_answered_can_be_resolved_by_any_runtime(world):
    driver = await world.start()
    share = "0a0a0a0a-0000-4000-8000-000000000001"
    device = {"driver": DRIVER, "pool": NODE, "device": "card-0", "shareID": share}
    claim = await world.claim(device, "card-1")
    answer = (await driver.prepare(claim, api=dra_v1beta1_pb2)).claims[claim.uid]
    ids = [i for given in answer.devices for i in given.cdi_device_ids]
    made = inject({}, ids, Registry([world.cdi]).refresh())
    assert made["process"]["env"] == ["CARD_r0=card-0", "CARD_r1=card-1"]
    assert "share_id" not in answer.devices[0].DESCRIPTOR.fields_by_name
    (file,) = world.cdi.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    # a device's name begins with the claim's UID; one that begins with a digit needs 0.5.0
    needed = "0.5.0" if claim.uid[0].isdigit() else "0.3.0"
    assert json.loads(file.read_text())["cdiVersion"] == needed


async def test_while_the_disk_is_slow_registration_and_other_claims_are_answered(world):
    driver = await world.start()  # what a start syncs is synced
    await driver.stop()
    driver = await world.start(SLOW_DISK)
    first, second = await world.claim("card-0"), await world.claim("card-1")
    begun = asyncio.ensure_future(driver.prepare(first))
    await seen(world.root / "syncing")
    assert (await driver.registered()).name == DRIVER
    late = (await driver.prepare(second, seconds=3)).claims[second.uid]
    assert "waits for the disk" in late.error
    (world.root / "gate").touch()
    assert (await begun).claims[first.uid].error == ""
    assert await error(driver.prepare, second) == ""


async def test_an_instance_whose_journal_a_newer_one_migrated_says_so_and_changes_nothing(world):
    driver = await world.start(POD_UID="00000000-0000-4000-8000-000000000001")
    known, new = await world.claim("card-0"), await world.claim("card-1")
    await driver.prepare(known)
    files = world.spec_files()
    journal = world.dra_socket.with_name("journal")
    journal.with_name("newer").write_bytes(frames.header(FORMAT + 1) + b"who knows")
    journal.with_name("newer").rename(journal)
    for call, claim in ((driver.prepare, known), (driver.prepare, new), (driver.unprepare, known)):
        assert "written by a newer driver" in await error(call, claim)
    assert journal.read_bytes() == frames.header(FORMAT + 1) + b"who knows"
    assert world.spec_files() == files


def children(pid):
    """PIDs of the processes a process started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


async def test_a_driver_forks_nothing_and_needs_no_heavy_client(world):
    driver = await world.start()
    await driver.registered()
    await driver.prepare(await world.claim("card-0"))
    assert not children(driver.process.pid)
    assert not [need for need in requires("pydra-core") if need.startswith("kubernetes")]


def test_no_deadline_hangs_on_the_wall_clock():
    source = Path(pydra_core.__file__).parent
    uses = {
        str(file.relative_to(source))
        for room in ("_node", "_state", "_api")
        for file in (source / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.time", "datetime.now"}
    }
    ages_of_files, dates_for_people = (
        {"_node/sockets.py"},
        {"_node/health/stream.py", "_api/lease.py"},
    )
    assert uses <= ages_of_files | dates_for_people
