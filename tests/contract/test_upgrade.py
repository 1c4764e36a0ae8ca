"""Two instances of one driver on a node, as in a rolling upgrade: one journal, one truth, one publisher."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from driver_world import CARDS, DRIVER

from pydra_core._proto import pluginregistration_v1_pb2 as registration
from pydra_testbed.objects import Selection

OLD, NEW = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))

GATED = """
import asyncio
from pathlib import Path
from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, Driver, Inventory, PreparedDevice, main

GATE = Path(__file__).with_name("gate")


class CardDriver(Driver):
    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"card-{n}") for n in range(4)))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        GATE.with_name("began").touch()
        while not GATE.exists():
            await asyncio.sleep(0.02)
        with GATE.open("a") as calls:
            calls.write(f"{claim.name}\\n")
        return [a.prepared(ContainerEdits(env=["CARD=1"])) for a in claim.allocations]

    async def unprepare(self, prepared) -> None:
        with GATE.with_name("undone").open("a") as calls:
            calls.write(f"{prepared.ref.name}\\n")


main(CardDriver)
"""


async def seen(path):
    """Wait until a file is there."""
    while not path.exists():  # noqa: ASYNC110 (another process makes it)
        await asyncio.sleep(0.02)


async def both(world, source=CARDS):
    return await world.start(source, POD_UID=OLD), await world.start(source, POD_UID=NEW)


async def test_each_instance_has_sockets_of_its_own_and_answers_for_both(world):
    (world.root / "gate").touch()
    old, new = await both(world, GATED)
    claim = await world.claim("card-0")
    first = await old.prepare(claim)
    files = world.spec_files()
    assert await new.prepare(claim) == first
    assert world.spec_files() == files
    assert (world.root / "gate").read_text() == f"{claim.name}\n"  # the second one did nothing
    assert (await new.unprepare(claim)).claims[claim.uid].error == ""
    assert world.spec_files() == {}
    assert await old.prepare(claim) == first


async def test_a_device_in_the_hands_of_one_instance_is_refused_by_the_other(world):
    old, new = await both(world)
    claim, other = await world.claim("card-0"), await world.claim("card-0")
    await old.prepare(claim)
    told = (await new.prepare(other)).claims[other.uid].error
    assert claim.name in told
    assert other.name in told
    await old.unprepare(claim)
    assert (await new.prepare(other)).claims[other.uid].error == ""


async def test_a_claim_one_instance_is_at_work_on_is_waited_for_by_the_other(world):
    old, new = await both(world, GATED)
    claim = await world.claim("card-0")
    begun = asyncio.ensure_future(old.prepare(claim))
    await seen(world.root / "began")
    joined = asyncio.ensure_future(new.prepare(claim))
    late = (await new.prepare(claim, seconds=3)).claims[claim.uid]
    assert "another instance of the driver" in late.error
    (world.root / "gate").touch()
    assert (await joined) == (await begun)
    assert (world.root / "gate").read_text() == f"{claim.name}\n"


@pytest.mark.parametrize("hangs_up", [False, True], ids=["deadline passes", "kubelet hangs up"])
async def test_what_the_new_instance_has_undone_is_not_prepared_by_the_old_one_afterwards(
    world, hangs_up
):
    old, new = await both(world)
    claim, other = await world.claim("card-0"), await world.claim("card-0")
    world.server.faults.hold("get", "resourceclaims")
    asked = asyncio.ensure_future(old.prepare(claim, seconds=45 if hangs_up else 1))
    while world.server.faults.planned():  # noqa: ASYNC110 (another process makes it true)
        await asyncio.sleep(0.02)
    if hangs_up:
        asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert (await new.unprepare(claim)).claims[claim.uid].error == ""
    before = len(old.logged())
    world.server.faults.clear()
    await old.says(claim.name, after=before)
    assert "nobody waits for it any more" in old.logged()[before:]
    assert world.spec_files() == {}
    assert (await new.prepare(other)).claims[other.uid].error == ""


async def test_what_a_killed_instance_began_is_undone_by_the_living_one(world):
    old, new = await both(world, GATED)
    claim, other = await world.claim("card-0"), await world.claim("card-0")
    begun = asyncio.ensure_future(old.prepare(claim))
    await seen(world.root / "began")
    await old.stop(kill=True)
    await asyncio.gather(begun, return_exceptions=True)
    await new.says("undoing an interrupted prepare")
    await seen(world.root / "undone")
    (world.root / "gate").touch()
    assert (await new.prepare(other)).claims[other.uid].error == ""


async def test_a_starting_instance_leaves_alone_what_the_other_is_at_work_on(world):
    old = await world.start(GATED, POD_UID=OLD)
    claim = await world.claim("card-0")
    begun = asyncio.ensure_future(old.prepare(claim))
    await seen(world.root / "began")
    new = await world.start(GATED, POD_UID=NEW)
    assert not (world.root / "undone").exists()
    (world.root / "gate").touch()
    answer = await begun
    assert answer.claims[claim.uid].error == ""
    assert await new.prepare(claim) == answer


async def test_a_second_driver_without_a_pods_uid_is_refused(world):
    await world.start()
    second = await world.start()
    assert await second.ended() == 2
    assert "another driver of this name is running" in second.logged()


MORE = CARDS.replace("range(4)", "range(6)")


async def devices(world):
    """Names of the devices that are published now."""
    slices = await world.slices()
    return {d["name"] for s in slices.values() for d in s["spec"]["devices"]}


async def until(condition):
    while not await condition():  # noqa: ASYNC110 (another process makes it true)
        await asyncio.sleep(0.02)


@pytest.mark.timeout(60)
async def test_of_two_instances_the_younger_registered_one_publishes(world):
    old = await world.start(CARDS, POD_UID=OLD)
    await old.registered()
    await until(lambda: _are(world, 4))
    new = await world.start(MORE, POD_UID=NEW)
    assert len(await devices(world)) == 4
    await new.registered()
    await until(lambda: _are(world, 6))
    generations = [s["spec"]["pool"]["generation"] for s in (await world.slices()).values()]
    await old.says("another instance publishes")
    await world.api.delete_collection("resourceslices", Selection())
    await until(lambda: _are(world, 6))
    assert "slice was deleted" in old.logged()
    await new.stop()
    await until(lambda: _are(world, 4))
    assert [s["spec"]["pool"]["generation"] for s in (await world.slices()).values()] >= generations


@pytest.mark.timeout(60)
async def test_the_older_instance_publishes_again_when_the_kubelet_refuses_the_younger(world):
    old = await world.start(CARDS, POD_UID=OLD)
    await old.registered()
    new = await world.start(MORE, POD_UID=NEW)
    await new.registered()
    await until(lambda: _are(world, 6))
    refused = registration.RegistrationStatus(plugin_registered=False, error="name is taken")
    await new.call(
        new.registration_socket, registration, "Registration", "NotifyRegistrationStatus", refused
    )
    await until(lambda: _are(world, 4))


async def _are(world, count):
    return len(await devices(world)) == count


async def test_a_registration_socket_somebody_removed_is_shown_again(world):
    driver = await world.start()
    await driver.registered()
    driver.registration_socket.unlink()
    await seen(driver.registration_socket)
    info = await driver.registered()
    assert info.name == DRIVER
    assert "the registration socket was removed" in driver.logged()


async def test_the_refusal_of_the_kubelet_is_repeated_by_the_probe(world):
    driver = await world.start(HTTP_ADDRESS="127.0.0.1:0")
    await driver.says("probes served")
    address = driver.logged().split("address=")[1].split()[0]
    refused = registration.RegistrationStatus(plugin_registered=False, error="name is taken")
    await driver.call(
        driver.registration_socket,
        registration,
        "Registration",
        "NotifyRegistrationStatus",
        refused,
    )
    await driver.says("refused the registration")
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    assert "503" in text
    assert "name is taken" in text


async def test_a_registration_socket_that_cannot_be_shown_now_is_shown_once_it_can(world):
    driver = await world.start()
    await driver.registered()
    driver.registration_socket.unlink()
    driver.registration_socket.write_text("in the way")
    await driver.says("cannot be shown to the kubelet")
    driver.registration_socket.unlink()
    await seen(driver.registration_socket)
    assert (await driver.registered()).name == DRIVER
