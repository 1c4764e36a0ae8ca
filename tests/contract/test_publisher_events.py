"""What an admin sees on the node when slices cannot be as the driver wants them: `kubectl describe node`."""

from __future__ import annotations

from driver_world import CARDS, DRIVER, NODE
from slice_watching import published, until

from pydra_testbed.objects import ObjectRef, Patch

SHARED = CARDS.replace("attributes=", "shareable=True, attributes=")
NAME = f"{NODE}-{DRIVER}-0000"


async def told(world, reason):
    """Wait for the event of this reason."""
    async for change in world.api.watch("events"):
        if change.object["reason"] == reason:
            return change.object
    raise AssertionError("the watch ended")


def is_warning_on_the_node(event):
    node = {"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": NODE}
    where = {"component": DRIVER, "host": NODE}
    return (event["type"], event["involvedObject"], event["source"]) == ("Warning", node, where)


async def test_fields_the_server_drops_are_an_event_on_the_node_that_names_the_gate(world):
    world.server.faults.drop_fields("resourceslices", "spec.devices[].allowMultipleAllocations")
    driver = await world.start(SHARED)
    await published(world, driver)
    event = await told(world, "DroppedFields")
    assert is_warning_on_the_node(event)
    assert "feature gate DRAConsumableCapacity" in event["message"]
    assert (event["count"], event["metadata"]["namespace"]) == (1, "default")


async def test_another_publisher_of_the_pool_is_an_event_on_the_node_that_names_it(world):
    driver = await world.start(CARDS)
    await published(world, driver)
    intruder = Patch({"spec": {"devices": [{"name": "intruder"}]}}, field_manager="old-driver")
    for _ in range(4):
        await world.api.patch(ObjectRef("resourceslices", NAME), intruder)
        await until(world, lambda s: len(s) and "intruder" not in str(s[NAME]["spec"]["devices"]))
    await world.api.patch(ObjectRef("resourceslices", NAME), intruder)
    event = await told(world, "AnotherPublisher")
    assert is_warning_on_the_node(event)
    assert f"slices of driver {DRIVER}" in event["message"]
    assert "old-driver" in event["message"]
    assert event["message"].endswith("stop that driver, or give one of them another name")


async def test_an_event_that_may_not_be_written_does_not_keep_slices_from_the_node(world):
    world.server.faults.drop_fields("resourceslices", "spec.devices[].allowMultipleAllocations")
    world.server.faults.fail("create", "events", 403)
    driver = await world.start(SHARED, LOG_LEVEL="debug")
    slices = await published(world, driver)
    await driver.says("event not written")
    assert await world.slices() == slices
    assert await driver.stop() == 0
