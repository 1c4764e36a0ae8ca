"""The publisher against trouble: gates, throttling, other publishers, devices that vanish under a claim."""

from __future__ import annotations

from driver_world import CARDS, DRIVER, NODE
from health_world import SICKLY, Sickly
from slice_watching import published, until

from pydra_core._proto import pluginregistration_v1_pb2 as registration
from pydra_testbed.objects import ObjectRef, Patch, Selection

SHARED = CARDS.replace("attributes=", "shareable=True, attributes=")
NAME = f"{NODE}-{DRIVER}-0000"


def names(slices):
    return [d["name"] for s in slices.values() for d in s["spec"]["devices"]]


async def test_fields_the_server_drops_are_named_by_gate_once_and_sent_no_more(world):
    world.server.faults.drop_fields("resourceslices", "spec.devices[].allowMultipleAllocations")
    driver = await world.start(SHARED)
    before = await published(world, driver)
    await driver.says(
        "spec.devices[].allowMultipleAllocations (feature gate DRAConsumableCapacity)"
    )
    await world.api.delete_collection("resourceslices", Selection())
    after = await until(world, lambda s: len(s) and s.keys() == before.keys())
    assert after[NAME]["spec"]["devices"] == before[NAME]["spec"]["devices"]
    await driver.says("published slices=1 writes=1")
    assert driver.logged().count("published less than wanted") == 1


async def test_a_throttled_write_waits_as_long_as_the_server_says(world):
    world.server.faults.fail("create", "resourceslices", 429, retry_after=1)
    driver = await world.start(CARDS)
    assert await published(world, driver)
    await driver.says("status=429 again_in=1.0")


async def test_a_conflict_is_resolved_by_looking_again(world):
    driver = await world.start(SICKLY if Sickly(world.root) else "", LOG_LEVEL="debug")
    await published(world, driver)
    world.server.faults.fail("update", "resourceslices", 409)
    Sickly(world.root).say(card_0="unhealthy Hot")
    slices = await until(world, lambda s: len(s) and "taints" in s[NAME]["spec"]["devices"][0])
    assert slices[NAME]["spec"]["pool"]["generation"] == 1
    await driver.says("status=409")


async def test_slices_of_a_node_that_was_made_anew_get_its_uid(world):
    driver = await world.start(CARDS)
    await published(world, driver)
    await world.api.delete(ObjectRef("nodes", NODE))
    await world.api.create(
        "nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    )
    node = await world.api.get("nodes", NODE)
    await world.api.delete_collection("resourceslices", Selection())
    slices = await until(world, len)
    assert slices[NAME]["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


async def test_slices_wiped_while_the_kubelet_does_not_know_the_driver_wait_for_it(world):
    driver = await world.start(CARDS)
    await published(world, driver)
    refused = registration.RegistrationStatus(plugin_registered=False, error="no")
    socket, method = driver.registration_socket, "NotifyRegistrationStatus"
    await driver.call(socket, registration, "Registration", method, refused)
    await driver.says("the kubelet refused the registration")
    await world.api.delete_collection("resourceslices", Selection())
    await driver.says("slice was deleted")
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    assert await world.slices() == {}
    assert await published(world, driver)


async def test_another_publisher_of_the_pool_is_named_and_left_alone(world):
    driver = await world.start(CARDS)
    await published(world, driver)
    intruder = Patch({"spec": {"devices": [{"name": "intruder"}]}}, field_manager="old-driver")
    for _ in range(4):
        await world.api.patch(ObjectRef("resourceslices", NAME), intruder)
        await until(world, lambda s: len(s) and "intruder" not in names(s))
    await world.api.patch(ObjectRef("resourceslices", NAME), intruder)
    await driver.says("another publisher of the same pool")
    assert "field managers: old-driver" in driver.logged()
    assert names(await world.slices()) == ["intruder"]


async def test_a_device_that_vanishes_under_a_claim_stays_tainted_until_it_is_released(world):
    sickly = Sickly(world.root, ("card-0", "card-1"))
    driver = await world.start(SICKLY, DISCOVER_INTERVAL="0.05")
    await published(world, driver)
    claim = await world.claim("card-1")
    await driver.prepare(claim)
    sickly.devices("card-0")
    gone = [{"key": f"{DRIVER}/gone", "effect": "NoSchedule"}]

    def is_gone(slices):
        found = {d["name"]: d for d in slices[NAME]["spec"]["devices"]}
        taints = found["card-1"].get("taints", [])
        return [{k: t[k] for k in ("key", "effect")} for t in taints] == gone

    await until(world, lambda s: len(s) and is_gone(s))
    await driver.stop()
    again = await world.start(SICKLY, DISCOVER_INTERVAL="0.05")
    await again.registered()
    answer = await again.prepare(claim)
    assert answer.claims[claim.uid].error == ""
    assert is_gone(await world.slices())
    await again.unprepare(claim)
    await until(world, lambda s: len(s) and names(s) == ["card-0"])
