"""How a kubelet comes to know the device plugin of a driver, and knows it again after either of them restarted."""

from __future__ import annotations

import shutil
import time

import legacy_world
import pytest
from dialling import dial
from driver_world import DRIVER
from legacy_world import CARD, SEAT, started

from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb
from pydra_core._proto import pluginregistration_v1_pb2 as registration
from pydra_core._state.survey import look_at

kubelet = legacy_world.kubelet
OLD, NEW = "0b5f5e1e-0000-4000-8000-00000000000a", "0b5f5e1e-0000-4000-8000-00000000000b"


def held(world):
    """The resource and ID of everything the journal holds."""
    records = look_at(world.root / "kubelet" / "plugins" / DRIVER / "journal").held
    return {(r.resource, r.name) for r in records}


async def test_after_a_kubelets_restart_each_resource_is_served_and_registered_anew(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    (before,) = await cards.allocate(["card-0"])
    await kubelet.stop()
    await kubelet.start()
    again = await kubelet.plugin(CARD)
    await kubelet.plugin(SEAT)
    (after,) = await again.allocate(["card-0"])
    assert after == before


async def test_whoever_is_let_go_by_a_kubelet_that_lives_registers_again(world, kubelet):
    await started(world)
    await (await kubelet.plugin(CARD)).close()
    again = await kubelet.plugin(CARD, after=1)
    assert len(await again.allocate(["card-0"])) == 1


async def test_whoever_is_let_go_and_then_refused_tries_again(world, kubelet):
    driver = await started(world)
    cards = await kubelet.plugin(CARD)
    kubelet.refuses = 2
    await cards.close()
    await driver.says("the kubelet refused it: not now")
    again = await kubelet.plugin(CARD, after=1)
    assert len(await again.allocate(["card-0"])) == 1


async def test_a_socket_that_somebody_removed_is_made_again(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    (kubelet.folder / cards.endpoint).unlink()
    again = await kubelet.plugin(CARD, after=1)
    assert (kubelet.folder / again.endpoint).is_socket()
    await kubelet.until(lambda: cards.ended)


async def test_a_refused_registration_is_tried_again(world, kubelet):
    kubelet.refuses = 2
    driver = await started(world)
    await driver.says("the kubelet refused it: not now")
    await kubelet.plugin(CARD)
    assert kubelet.refuses == 0


async def test_in_an_upgrade_the_younger_takes_over_what_the_older_gave(world, kubelet):
    old = await started(world, POD_UID=OLD)
    before = await kubelet.plugin(CARD)
    (given,) = await before.allocate(["card-0"])
    await started(world, POD_UID=NEW)
    after = await kubelet.plugin(CARD, after=1)
    assert after.endpoint != before.endpoint
    await old.stop()
    await kubelet.until(lambda: before.ended)
    await (
        after.close()
    )  # a kubelet knows plugins by their resource: the old one's end is the new one's
    survivor = await kubelet.plugin(CARD, after=2)
    assert survivor.endpoint == after.endpoint
    assert list(await survivor.allocate(["card-0"])) == [given]


async def test_an_older_instance_that_is_let_go_leaves_the_resource_to_the_younger(world, kubelet):
    await started(world, POD_UID=OLD)
    before = await kubelet.plugin(CARD)
    younger = await started(world, POD_UID=NEW)
    young = await kubelet.plugin(CARD, after=1)
    await younger.says(f"registered with the kubelet resource={CARD}")
    await before.close()
    for number in (2, 3):
        await (await kubelet.plugin(CARD, after=number - 1)).close()
        await kubelet.plugin(CARD, after=number)
    assert [p.endpoint for p in kubelet.registered if p.resource == CARD][1:] == (
        [young.endpoint] * 3
    )


async def test_without_the_kubelets_folder_it_is_shown_in_plugins_registry(world):
    driver = await started(world)
    registry = world.root / "kubelet" / "plugins_registry"
    for resource in (CARD, SEAT):
        await driver.says(f"not registered resource={resource}")
    found = {}
    for path in registry.iterdir():
        info = await driver.call(path, registration, "Registration", "GetInfo")
        found[info.type, info.name] = (path, info)
    path, info = found["DevicePlugin", CARD]
    assert ("DevicePlugin", SEAT) in found
    assert list(info.supported_versions) == ["v1beta1"]
    confirmed = registration.RegistrationStatus(plugin_registered=True)
    await driver.call(path, registration, "Registration", "NotifyRegistrationStatus", confirmed)
    await driver.says(f"registered with the kubelet resource={CARD}")
    async with dial(info.endpoint) as channel:
        options = channel.unary_unary(
            "/v1beta1.DevicePlugin/GetDevicePluginOptions",
            response_deserializer=pb.DevicePluginOptions.FromString,
        )
        assert (await options(b"", timeout=10)).get_preferred_allocation_available
    assert not (world.root / "kubelet" / "device-plugins").exists()


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_a_driver_that_comes_back_gives_the_same_again(world, kubelet, kill):
    driver = await started(world)
    (before,) = await (await kubelet.plugin(CARD)).allocate(["card-0", "card-1"])
    files = world.spec_files()
    await driver.stop(kill=kill)
    await started(world)
    again = await kubelet.plugin(CARD, after=1)
    assert held(world) == {(CARD, "card-0"), (CARD, "card-1")}
    assert world.spec_files() == files
    assert list(await again.allocate(["card-0", "card-1"])) == [before]


async def test_after_a_reboot_a_container_starts_although_nothing_is_allocated_again(
    world, kubelet
):
    boot = world.root / "boot_id"
    boot.write_text("one")
    driver = await started(world, BOOT_ID_FILE=str(boot))
    await (await kubelet.plugin(CARD)).allocate(["card-0"])
    files = world.spec_files()
    await driver.stop(kill=True)
    boot.write_text("two")
    shutil.rmtree(world.cdi)
    await started(world, BOOT_ID_FILE=str(boot))
    again = await kubelet.plugin(CARD, after=1)
    await again.pre_start("card-0")
    assert world.spec_files() == files


async def test_what_a_pod_gets_after_a_reboot_is_known_to_be_given_since(world, kubelet):
    """Else whoever looks for releases takes it for an old pod's, and does not wait for the new one's admission."""
    boot = world.root / "boot_id"
    boot.write_text("one")
    driver = await started(world, BOOT_ID_FILE=str(boot))
    await (await kubelet.plugin(CARD)).allocate(["card-0"])
    await driver.stop()
    boot.write_text("two")
    await started(world, BOOT_ID_FILE=str(boot))
    again = await kubelet.plugin(CARD, after=1)
    before = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)
    await again.allocate(["card-0"])
    (record,) = look_at(world.root / "kubelet" / "plugins" / DRIVER / "journal").held
    assert record.boot == "two"
    assert record.given >= before


async def test_a_container_starts_although_the_journal_was_lost(world, kubelet):
    driver = await started(world)
    await (await kubelet.plugin(CARD)).allocate(["card-0"])
    files = world.spec_files()
    await driver.stop(kill=True)
    (world.root / "kubelet" / "plugins" / DRIVER / "journal").unlink()
    await started(world)
    again = await kubelet.plugin(CARD, after=1)
    assert held(world) == {(CARD, "card-0")}
    await again.pre_start("card-0")
    assert world.spec_files() == files
