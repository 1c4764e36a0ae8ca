from __future__ import annotations

import pytest
from driver_world import DRIVER, NODE
from health_world import SICKLY, Sickly, health_stream, heard
from slice_watching import until

from pydra_core._proto import dra_health_v1_pb2, dra_health_v1alpha1_pb2
from pydra_testbed.objects import ObjectRef, Patch

UNKNOWN, HEALTHY, UNHEALTHY = 0, 1, 2
KEY = f"{DRIVER}/unhealthy"


def taints(slices, device):
    """Key, value and effect of each taint of a published device."""
    (found,) = [d for s in slices.values() for d in s["spec"]["devices"] if d["name"] == device]
    return [(t["key"], t.get("value", ""), t["effect"]) for t in found.get("taints", [])]


async def tainted(world, device, *wanted):
    return await until(world, lambda s: len(s) and taints(s, device) == list(wanted))


async def device_of(world, claim, wanted):
    """Wait until the claim's entry of our device is as `wanted`."""
    async for _ in world.api.watch("resourceclaims"):
        body = await world.api.get("resourceclaims", claim.name, "default")
        for device in body.get("status", {}).get("devices") or []:
            if wanted(device):
                return device
    raise AssertionError("the watch ended")


@pytest.mark.parametrize("api", [dra_health_v1alpha1_pb2, dra_health_v1_pb2])
async def test_the_stream_begins_with_all_devices_unknown_and_tells_what_is_seen(world, api):
    sickly = Sickly(world.root)
    driver = await world.start(SICKLY)
    await driver.registered()
    async with health_stream(driver.dra_socket, api) as call:
        first = await heard(call, lambda h: len(h) == 2)
        assert first == {"card-0": (UNKNOWN, ""), "card-1": (UNKNOWN, "")}
        sickly.say(card_0="healthy", card_1="unhealthy Hot")
        await heard(call, lambda h: h == {"card-0": (HEALTHY, ""), "card-1": (UNHEALTHY, "Hot")})


async def test_a_sick_device_is_tainted_and_untainted_when_it_is_well_again(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy", card_1="healthy")
    driver = await world.start(SICKLY)
    await driver.registered()
    await tainted(world, "card-0")
    sickly.say(card_0="unhealthy DoubleBitError")
    slices = await tainted(world, "card-0", (KEY, "DoubleBitError", "NoSchedule"))
    assert taints(slices, "card-1") == []
    sickly.say(card_0="healthy")
    await tainted(world, "card-0")


async def test_an_unhealthy_device_is_refused_to_new_claims_and_kept_by_those_that_have_it(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy", card_1="healthy")
    driver = await world.start(SICKLY)
    await driver.registered()
    old, new = await world.claim("card-0"), await world.claim("card-1")
    assert (await driver.prepare(old)).claims[old.uid].error == ""
    sickly.say(card_0="unhealthy Hot", card_1="unhealthy Hot")
    await tainted(world, "card-1", (KEY, "Hot", "NoSchedule"))
    assert (await driver.prepare(old)).claims[old.uid].error == ""
    assert "device 'card-1' is unhealthy (Hot)" in (await driver.prepare(new)).claims[new.uid].error
    tolerant = await world.claim(
        {
            "driver": DRIVER,
            "pool": NODE,
            "device": "card-1",
            "tolerations": [{"key": KEY, "operator": "Exists"}],
        }
    )
    assert (await driver.prepare(tolerant)).claims[tolerant.uid].error == ""


async def test_a_claim_is_told_of_its_sick_device_beside_what_others_say(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy")
    driver = await world.start(SICKLY)
    await driver.registered()
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    theirs = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": claim.name, "namespace": "default"},
        "status": {
            "devices": [
                {"driver": DRIVER, "pool": NODE, "device": "card-0", "data": {"by": "others"}}
            ]
        },
    }
    patch = Patch(theirs, "application/apply-patch+yaml", field_manager="others")
    await world.api.patch(ObjectRef("resourceclaims", claim.name, "default"), patch, "status")
    sickly.say(card_0="unhealthy Hot")
    body = await device_of(world, claim, lambda d: d.get("conditions"))
    assert (body["conditions"][0]["status"], body["conditions"][0]["reason"]) == ("False", "Hot")
    assert body["data"] == {"by": "others"}
    sickly.say(card_0="healthy")
    await device_of(world, claim, lambda d: d["conditions"][0]["status"] == "True")
