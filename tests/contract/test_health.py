from __future__ import annotations

import pytest
from driver_world import CARDS, DRIVER, NODE
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


async def test_a_message_that_is_no_unicode_text_arrives_escaped(world):
    """As Python reads bytes of a file that are none; the claim, the node's event and the stream are told all the same."""
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy")
    told = SICKLY.replace(
        '" ".join(reason)', '" ".join(reason), message="SN\\udcff" if reason else ""'
    )
    driver = await world.start(told)
    await driver.registered()
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    sickly.say(card_0="unhealthy Hot")
    body = await device_of(world, claim, lambda d: d.get("conditions"))
    assert body["conditions"][0]["message"] == "SN\\udcff"
    async for change in world.api.watch("events"):
        if change.object["involvedObject"]["kind"] == "Node":
            break
    assert change.object["message"] == f"{DRIVER}: unhealthy: card-0 (SN\\udcff)"


async def test_a_claim_that_only_looks_at_a_device_is_not_told_of_it(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy", card_1="healthy")
    driver = await world.start(SICKLY)
    await driver.registered()
    entry = {"driver": DRIVER, "pool": NODE}
    label = {"resource.kubernetes.io/admin-access": "true"}
    await world.api.patch(
        ObjectRef("namespaces", "default"), Patch({"metadata": {"labels": label}})
    )
    looks = {**entry, "device": "card-0", "adminAccess": True}
    claim = await world.claim(looks, {**entry, "device": "card-1"})
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
    sickly.say(card_0="unhealthy Hot", card_1="unhealthy Hot")
    body = await device_of(world, claim, lambda d: d.get("conditions"))
    assert body["device"] == "card-1"
    body = await world.api.get("resourceclaims", claim.name, "default")
    assert [d["device"] for d in body["status"]["devices"]] == ["card-1"]
    later = await world.claim(looks)  # whoever looks may look at the sick
    assert (await driver.prepare(later)).claims[later.uid].error == ""


async def test_a_claim_is_told_of_a_recovery_that_happened_while_no_driver_ran(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="unhealthy Hot")
    driver = await world.start(SICKLY)
    await driver.registered()
    await tainted(world, "card-0", (KEY, "Hot", "NoSchedule"))
    tolerates = [{"key": KEY, "operator": "Exists"}]
    use = {"driver": DRIVER, "pool": NODE, "device": "card-0", "tolerations": tolerates}
    claim = await world.claim(use)
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
    sickly.say(card_0="unhealthy Hotter")
    await device_of(world, claim, lambda d: d["conditions"][0]["status"] == "False")
    await driver.stop()
    sickly.say(card_0="healthy")
    again = await world.start(SICKLY)
    await again.registered()
    await device_of(world, claim, lambda d: d["conditions"][0]["status"] == "True")


async def test_a_claim_of_the_same_name_is_not_told_of_another_ones_device(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy")
    driver = await world.start(SICKLY)
    await driver.registered()
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    ref = ObjectRef("resourceclaims", claim.name, "default")
    body = await world.api.get("resourceclaims", claim.name, "default")
    await world.api.delete(ref)
    kept = {"name": claim.name, "namespace": "default"}
    await world.api.create(
        "resourceclaims",
        {k: body[k] for k in ("apiVersion", "kind", "spec")} | {"metadata": kept},
    )
    allocated = Patch({"status": {"allocation": body["status"]["allocation"]}})
    await world.api.patch(ref, allocated, "status")
    sickly.say(card_0="unhealthy Hot")
    async for change in world.api.watch("events"):
        if change.object["involvedObject"]["kind"] == "ResourceClaim":
            break
    sickly.say(card_0="unhealthy Hotter")
    await tainted(world, "card-0", (KEY, "Hotter", "NoSchedule"))
    assert "devices" not in (await world.api.get("resourceclaims", claim.name, "default"))["status"]


async def test_each_share_of_a_sick_device_is_told(world):
    sickly = Sickly(world.root, ("shared-0",))
    sickly.say(shared_0="healthy")
    driver = await world.start(SICKLY)
    await driver.registered()
    await until(world, len)
    shares = [f"1111111{n}-1111-4111-8111-111111111111" for n in range(2)]
    entry = {"driver": DRIVER, "pool": NODE, "device": "shared-0"}
    claim = await world.claim(*({**entry, "shareID": share} for share in shares))
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
    sickly.say(shared_0="unhealthy Hot")
    found = {}
    async for _ in world.api.watch("resourceclaims"):
        body = await world.api.get("resourceclaims", claim.name, "default")
        devices = body["status"].get("devices") or []
        found = {d.get("shareID"): d["conditions"][0]["status"] for d in devices}
        if found:
            break
    assert found == dict.fromkeys(shares, "False")


async def test_node_and_claims_get_one_event_for_all_that_went_wrong_together(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy", card_1="healthy")
    driver = await world.start(SICKLY)
    await driver.registered()
    await tainted(world, "card-0")
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    sickly.say(card_0="unhealthy Hot", card_1="unhealthy Hot")
    events = {}
    async for change in world.api.watch("events"):
        body = change.object
        events[body["involvedObject"]["kind"]] = body
        if len(events) == 2:
            break
    node, told = events["Node"], events["ResourceClaim"]
    assert node["message"] == f"{DRIVER}: unhealthy: card-0 (Hot), card-1 (Hot)"
    assert (node["reason"], node["type"], node["count"]) == ("DeviceUnhealthy", "Warning", 1)
    assert (told["involvedObject"]["name"], told["message"]) == (
        claim.name,
        "unhealthy: card-0 (Hot)",
    )


async def test_a_device_recovers_only_after_it_was_well_for_long(world):
    sickly = Sickly(world.root, recovers_after=1000)
    sickly.say(card_0="unhealthy Hot", card_1="unhealthy Cold")
    driver = await world.start(SICKLY)
    await driver.registered()
    hot = (KEY, "Hot", "NoSchedule")
    await tainted(world, "card-0", hot)
    sickly.say(card_0="healthy")
    sickly.say(card_1="unhealthy Frozen")
    slices = await tainted(world, "card-1", (KEY, "Frozen", "NoSchedule"))
    assert taints(slices, "card-0") == [hot]


async def test_a_taint_stays_over_a_restart_until_the_device_was_looked_at(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="unhealthy Hot")
    driver = await world.start(SICKLY)
    await driver.registered()
    before = await tainted(world, "card-0", (KEY, "Hot", "NoSchedule"))
    await driver.stop()
    sickly.say(card_0="unknown")
    again = await world.start(SICKLY.replace("yield", "await asyncio.Event().wait(); yield"))
    await again.registered()
    claim = await world.claim("card-1")
    await again.prepare(claim)
    assert await world.slices() == before


async def test_a_taint_goes_with_a_driver_that_watches_no_health_any_more(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="unhealthy Hot")
    driver = await world.start(SICKLY)
    await driver.registered()
    await tainted(world, "card-0", (KEY, "Hot", "NoSchedule"))
    await driver.stop()
    again = await world.start(SICKLY.replace("async def watch_health", "async def watches_no"))
    await again.registered()
    await tainted(world, "card-0")


async def test_a_watch_that_breaks_is_taken_up_again_and_meanwhile_nothing_is_known(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy")
    broken = 'if "card-1" in (HERE / "health").read_text(): raise OSError("no such library")'
    driver = await world.start(SICKLY.replace("lines =", f"{broken}\n            lines ="))
    await driver.registered()
    async with health_stream(driver.dra_socket) as call:
        await heard(call, lambda h: h.get("card-0") == (HEALTHY, ""))
        sickly.say(card_1="healthy")
        await heard(call, lambda h: h.get("card-0") == (UNKNOWN, ""))
        await driver.says("background job failed")
        sickly.forget("card-1")
        await heard(call, lambda h: h.get("card-0") == (HEALTHY, ""))


async def test_a_driver_that_watches_no_health_reports_its_devices_as_unknown(world):
    driver = await world.start(CARDS)
    await driver.registered()
    async with health_stream(driver.dra_socket) as call:
        found = await heard(call, len)
    assert found == {f"card-{n}": (UNKNOWN, "") for n in range(4)}
    assert await driver.stop() == 0


async def test_a_status_that_may_not_be_written_is_told_once_and_not_tried_again(world):
    sickly = Sickly(world.root)
    sickly.say(card_0="healthy")
    driver = await world.start(SICKLY)
    await driver.registered()
    await tainted(world, "card-0")
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    world.server.faults.fail("patch", "resourceclaims/status", 403, times=1)
    sickly.say(card_0="unhealthy Hot")
    await driver.says("claim not told of its devices' health")
    assert "associated-node:patch of resourceclaims/driver" in driver.logged()
    body = await world.api.get("resourceclaims", claim.name, "default")
    assert "devices" not in body["status"]
