"""Extended resources of a driver that changes hardware: nothing is forgotten, whatever fails, ends or is renumbered."""

from __future__ import annotations

import asyncio

import legacy_world
from driver_world import DRIVER
from legacy_world import CARD

from pydra_core._state.survey import look_at

kubelet = legacy_world.kubelet

PROGRAM = """
import asyncio
import logging
import os
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, Driver, Inventory, PreparedClaim, PreparedDevice, main
from pydra_core.resources import Resource, ResourceDevice

_log = logging.getLogger(__name__)
STATE = Path(os.environ["STATE"])


def told(name):
    return (STATE / name).read_text().split() if (STATE / name).exists() else []


def note(what, names):
    with (STATE / "hardware").open("a") as file:
        file.write(f"{what} {','.join(sorted(names))}\\n")


class SwitchDriver(Driver):
    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"card-{n}") for n in range(3)))

    def resources(self, inventory: Inventory) -> list[Resource]:
        names = told("order") or [device.name for device in inventory.devices]
        units = tuple(ResourceDevice(id=f"id-{n}", devices=(name,)) for n, name in enumerate(names))
        return [Resource("acme.example/card", units)]

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        names = [a.device for a in claim.allocations]
        note("on", names)
        _log.warning("switching on %s", ",".join(names))
        if set(told("stuck")) & set(names):
            await asyncio.Event().wait()
        if set(told("bad")) & set(names):
            raise RuntimeError("half-way")
        return [a.prepared(ContainerEdits(env=[f"CARD={a.device}"])) for a in claim.allocations]

    async def unprepare(self, prepared: PreparedClaim) -> None:
        note("off", [device.device for device in prepared.devices])


main(SwitchDriver)
"""


async def started(world, **environ):
    environ = {"ENABLE_DEVICE_PLUGIN": "true", "STATE": str(world.root), **environ}
    return await world.start(PROGRAM, **environ)


def hardware(world):
    return (world.root / "hardware").read_text().splitlines()


def held(world):
    records = look_at(world.root / "kubelet" / "plugins" / DRIVER / "journal").held
    return {record.name for record in records}


async def test_what_failed_half_way_is_undone_before_it_is_told(world, kubelet):
    (world.root / "bad").write_text("card-1")
    await started(world)
    cards = await kubelet.plugin(CARD)
    text = await cards.refusal(["id-0", "id-1"])
    assert text.startswith(f"{CARD} id-1: driver card.acme.example failed to prepare it")
    assert sorted(hardware(world)) == ["off card-0", "off card-1", "on card-0", "on card-1"]
    assert held(world) == set()


async def test_a_driver_that_is_killed_in_the_middle_undoes_it_when_it_comes_back(world, kubelet):
    (world.root / "stuck").write_text("card-2")
    driver = await started(world)
    cards = await kubelet.plugin(CARD)
    pending = asyncio.ensure_future(cards.refusal(["id-2"]))
    await driver.says("switching on card-2")
    await driver.stop(kill=True)
    await pending
    await started(world)
    await kubelet.plugin(CARD, after=1)
    assert hardware(world) == ["on card-2", "off card-2"]
    assert held(world) == set()


async def test_after_a_reboot_the_hardware_is_switched_on_again_before_a_container_starts(
    world, kubelet
):
    boot = world.root / "boot_id"
    boot.write_text("one")
    driver = await started(world, BOOT_ID_FILE=str(boot))
    await (await kubelet.plugin(CARD)).allocate(["id-0"])
    await driver.stop()
    boot.write_text("two")
    await started(world, BOOT_ID_FILE=str(boot))
    again = await kubelet.plugin(CARD, after=1)
    await again.pre_start("id-0")
    assert hardware(world)[0] == "on card-0"
    assert hardware(world)[-1] == "on card-0"
    assert len(hardware(world)) > 1


async def test_an_id_that_stands_for_another_device_by_now_gives_that_to_the_next_pod(
    world, kubelet
):
    driver = await started(world)
    await (await kubelet.plugin(CARD)).allocate(["id-0"])
    await driver.stop()
    (world.root / "order").write_text("card-2 card-1 card-0")
    await started(world)
    again = await kubelet.plugin(CARD, after=1)
    await again.pre_start("id-0")  # a container that runs keeps what it was told
    assert hardware(world) == ["on card-0"]
    (answer,) = await again.allocate(["id-0"])
    assert [device.name.rpartition("_")[2] for device in answer.cdi_devices] == ["card-2"]
    assert hardware(world) == ["on card-0", "off card-0", "on card-2"]


async def test_after_a_reboot_a_container_does_not_start_with_another_device_than_it_was_told_of(
    world, kubelet
):
    boot = world.root / "boot_id"
    boot.write_text("one")
    driver = await started(world, BOOT_ID_FILE=str(boot))
    await (await kubelet.plugin(CARD)).allocate(["id-0"])
    await driver.stop()
    boot.write_text("two")
    (world.root / "order").write_text("card-2 card-1 card-0")
    await started(world, BOOT_ID_FILE=str(boot))
    again = await kubelet.plugin(CARD, after=1)
    for _ in range(2):  # a kubelet tries again and again
        assert await again.start_refused("id-0") == (
            f"{CARD} id-0: is prepared in another way than when its pod was admitted, and the kubelet keeps what it was"
            " told then; delete the pod, so that a new one is admitted"
        )
    (answer,) = await again.allocate(["id-0"])
    assert [device.name.rpartition("_")[2] for device in answer.cdi_devices] == ["card-2"]
