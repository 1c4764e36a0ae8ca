"""Health and slices while two instances of a driver run side by side."""

from __future__ import annotations

from driver_world import DRIVER, NODE
from health_world import SICKLY, Sickly, health_stream, heard
from slice_watching import until

OLD, NEW = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
NAME = f"{NODE}-{DRIVER}-0000"
UNHEALTHY = 2


def is_sick(slices):
    return len(slices) and "taints" in slices[NAME]["spec"]["devices"][0]


async def test_both_instances_hear_of_a_sick_device_and_one_of_them_writes(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy", card_1="healthy")
    old = await world.start(SICKLY, POD_UID=OLD)
    await old.registered()
    await until(world, len)
    new = await world.start(SICKLY, POD_UID=NEW)
    await new.registered()
    await old.says("another instance publishes")
    before = (await world.slices())[NAME]["metadata"]["generation"]
    sickly.say(card_0="unhealthy Hot")
    slices = await until(world, is_sick)
    for instance in (old, new):
        async with health_stream(instance.dra_socket) as call:
            await heard(call, lambda h: h["card-0"] == (UNHEALTHY, "Hot"))
    assert slices[NAME]["metadata"]["generation"] == before + 1
    async for change in world.api.watch("events"):
        if change.object["reason"] == "DeviceUnhealthy":
            break
    await new.stop()
    await old.says("publishing")
    sickly.say(card_0="healthy")
    slices = await until(world, lambda s: not is_sick(s))
    assert slices[NAME]["metadata"]["generation"] == before + 2
    told = [e["reason"] for e in (await world.api.list("events")).items]
    assert told.count("DeviceUnhealthy") == 1
