"""One process for claims and for pods without: which is served when, and what becomes of what is held."""

from __future__ import annotations

import asyncio
import json

import pytest
from driver_world import DRIVER, NODE, world
from legacy_world import CARD, PROGRAM, Kubelet, kubelet
from pods_listed import listed

from pydra_core._proto import pluginregistration_v1_pb2 as registration
from pydra_testbed.objects import Selection

__all__ = ["kubelet", "world"]

QUICK = """
from pydra_core._legacy import dual, releasing

releasing.EVERY, releasing.APART, releasing._LEAST = 0.1, 0.1, 0.05
dual._FIRST = 0.5
"""
HELD, SICK = f"{DRIVER}/device-plugin", f"{DRIVER}/unhealthy"


@pytest.fixture
async def pods(world):
    async with listed(world.root / "kubelet/pod-resources/kubelet.sock") as pods:
        yield pods


async def started(world, **environ):
    return await world.start(QUICK + PROGRAM, STATE=str(world.root), **environ)


async def says(driver, *, registered, error=""):
    """What a kubelet says of the DRA registration."""
    status = registration.RegistrationStatus(plugin_registered=registered, error=error)
    service = (registration, "Registration", "NotifyRegistrationStatus")
    await driver.call(driver.registration_socket, *service, status)


async def taints(world, **wanted):
    """Wait until the devices have these taints, and no other."""
    wanted = {name.replace("_", "-"): keys for name, keys in wanted.items()}
    selection = Selection(field_selector=f"spec.nodeName={NODE}")
    async for event in world.api.watch("resourceslices", selection):
        if event.type in ("ADDED", "MODIFIED"):
            devices = event.object["spec"]["devices"]
            found = {d["name"]: [t["key"] for t in d["taints"]] for d in devices if "taints" in d}
            if found == wanted:
                return {t["value"] for d in devices for t in d.get("taints", ())}
    raise AssertionError("the watch ended")


def mode_left(world):
    return json.loads((world.dra_socket.parent / "mode.json").read_text())


async def test_what_a_pod_has_is_tainted_beside_what_else_is_wrong_and_until_it_is_gone(
    world, kubelet, pods
):
    driver = await started(world, ENABLE_DEVICE_PLUGIN="true")
    await driver.registered()
    cards = await kubelet.plugin(CARD)
    await cards.allocate(["card-0"])
    pods.held["a"] = {CARD: ["card-0"]}
    assert await taints(world, card_0=[HELD]) == {"card"}
    (world.root / "sick").write_text("card-0 card-1")
    assert await taints(world, card_0=[SICK, HELD], card_1=[SICK]) == {"Fire", "card"}
    (world.root / "sick").write_text("card-1")
    await taints(world, card_0=[HELD], card_1=[SICK])
    (world.root / "sick").unlink()
    await taints(world, card_0=[HELD])
    del pods.held["a"]
    await taints(world)
    assert world.spec_files() == {}


async def test_what_another_device_plugin_gave_is_tainted_in_what_is_published_first(world, pods):
    """Claims that have waited for the driver are allocated at once."""
    pods.held["a"] = {CARD: ["card-1"]}
    driver = await world.start(PROGRAM, STATE=str(world.root), ENABLE_DEVICE_PLUGIN="true")
    await driver.registered()
    async for event in world.api.watch("resourceslices", Selection()):
        if event.type == "ADDED":
            devices = event.object["spec"]["devices"]
            break
    found = {d["name"]: [t["key"] for t in d["taints"]] for d in devices if "taints" in d}
    assert found == {"card-1": [HELD]}


async def test_devices_are_published_also_if_the_driver_cannot_say_what_it_has_for_pods(world):
    mistake = PROGRAM.replace("        cards = [", "        raise RuntimeError\n        cards = [")
    driver = await world.start(QUICK + mistake, STATE=str(world.root), ENABLE_DEVICE_PLUGIN="true")
    await driver.registered()
    await driver.says("published slices=1")


async def test_an_older_instance_leaves_releases_to_the_younger(world, kubelet, pods):
    old = await started(world, ENABLE_DEVICE_PLUGIN="true", POD_UID="0" * 32)
    await old.registered()
    await (await kubelet.plugin(CARD)).allocate(["card-0"])
    pods.held["a"] = {CARD: ["card-0"]}
    young = await started(world, ENABLE_DEVICE_PLUGIN="true", POD_UID="1" * 32)
    await young.registered()
    await kubelet.plugin(CARD, after=1)
    await old.stop()
    del pods.held["a"]
    await young.says("claim unprepared")
    await taints(world)
    assert world.spec_files() == {}


async def test_a_cluster_that_shall_not_have_dra_is_not_offered_it(world, kubelet):
    driver = await world.start(
        PROGRAM,
        offers_dra=False,
        STATE=str(world.root),
        ENABLE_DRA="false",
        ENABLE_DEVICE_PLUGIN="true",
    )
    cards = await kubelet.plugin(CARD)
    assert set(cards.health.values()) == {"Healthy"}
    assert not driver.registration_socket.exists()
    assert (await world.slices()) == {}
    assert {k: mode_left(world)[k] for k in ("dra", "legacy")} == {"dra": False, "legacy": True}


async def test_nothing_to_serve_ends_the_start_with_what_to_do(world):
    driver = await world.start(PROGRAM, STATE=str(world.root), ENABLE_DRA="false")
    assert await driver.ended() == 2
    assert "set ENABLE_DEVICE_PLUGIN=true" in driver.logged()


async def test_a_kubelet_without_dra_gets_resources_and_one_with_it_gets_claims_and_what_is_held_stays(
    world, kubelet, pods
):
    driver = await started(world)
    await says(driver, registered=False, error="no handler registered for plugin type: DRAPlugin")
    cards = await kubelet.plugin(CARD)
    await hidden(driver)
    await cards.allocate(["card-0"])
    pods.held["a"] = {CARD: ["card-0"]}
    await kubelet.stop()
    await kubelet.start()
    await says(driver, registered=True)
    await taints(world, card_0=[HELD])
    claim = await world.claim("card-0")
    (refused,) = (await driver.prepare(claim, seconds=1)).claims.values()
    assert "a pod that has it as 'card-0' of resource acme.example/card" in refused.error
    del pods.held["a"]
    await taints(world)
    (given,) = (await driver.prepare(claim)).claims.values()
    assert given.error == ""
    assert {k: mode_left(world)[k] for k in ("dra", "legacy")} == {"dra": True, "legacy": False}


async def test_a_kubelet_that_starts_after_the_driver_is_asked_too(world):
    late = Kubelet(world.root / "kubelet" / "device-plugins")
    late.folder.mkdir(parents=True)
    driver = await started(world)
    await says(driver, registered=False, error="no handler registered for plugin type: DRAPlugin")
    await driver.says("the kubelet makes it when it starts")
    await hidden(driver)
    await late.start()
    await late.plugin(CARD)
    await says(driver, registered=True)
    await taints(world)
    await late.stop()


async def hidden(driver):
    while driver.registration_socket.exists():  # noqa: ASYNC110 (a kubelet watches the directory)
        await asyncio.sleep(0.01)
