"""`publish`: pools that belong to no node, by several instances of which one writes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from http import HTTPStatus

import aiohttp
import pytest
from driver_world import DRIVER, NODE
from pool_drivers import FABRIC, Fabric
from slice_watching import until

from pydra_core.cli import main
from pydra_core.command import FINE, USAGE
from pydra_testbed.objects import ObjectRef, Patch

LEASE = ObjectRef("leases", f"{DRIVER}-publish", "default")
RACK = {"devices": ["box-0", "box-1"], "labels": {"rack": "a"}}
EVERYWHERE = {"devices": ["seat-0"]}


@pytest.fixture
def fabric(world):
    made = Fabric(world)
    made.say(rack_a=RACK, seats=EVERYWHERE)
    return made


@pytest.fixture
async def changes(world):
    """What happens to slices: kind and pool, in order, from the beginning."""
    seen = []

    async def watch():
        async for event in world.api.watch("resourceslices"):
            change = (event.type, event.object["spec"]["pool"]["name"])
            seen.append(change)

    task = asyncio.ensure_future(watch())
    yield seen
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def devices(slices):
    """Pool to its devices; a star is behind those that are tainted as gone."""
    found = {}
    for body in slices.values():
        names = found.setdefault(body["spec"]["pool"]["name"], [])
        for device in body["spec"].get("devices") or []:
            keys = [t["key"] for t in device.get("taints", [])]
            names.append(device["name"] + "*" * (keys == [f"{DRIVER}/gone"]))
    return found


async def reads(world, **pools):
    """Wait until the API holds these pools and no others."""
    wanted = {name.replace("_", "-"): found for name, found in pools.items()}
    return await until(world, lambda s: devices(s) == wanted)


async def lease(world, holds):
    """Wait until the lease's spec is so."""
    async for event in world.api.watch("leases"):
        if event.type != "DELETED" and holds(event.object["spec"]):
            return event.object["spec"]
    raise AssertionError("the watch ended")


async def test_pools_of_many_nodes_have_neither_node_nor_owner(world, fabric):
    await fabric.publish()
    slices = await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    rack, seats = slices[f"rack-a-{DRIVER}-0000"], slices[f"seats-{DRIVER}-0000"]
    term = {"matchExpressions": [{"key": "rack", "operator": "In", "values": ["a"]}]}
    assert rack["spec"]["nodeSelector"] == {"nodeSelectorTerms": [term]}
    assert seats["spec"]["allNodes"] is True
    assert "nodeName" not in rack["spec"]
    assert "ownerReferences" not in rack["metadata"]
    fabric.say(rack_a=RACK | {"labels": {"rack": "b"}})
    name, term = rack["metadata"]["name"], {"key": "rack", "operator": "In", "values": ["b"]}
    selector = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
    slices = await until(world, lambda s: s[name]["spec"]["nodeSelector"] == selector)
    assert slices.keys() == {name}
    assert slices[name]["metadata"]["uid"] == rack["metadata"]["uid"]


async def test_when_the_holder_dies_the_other_takes_over_and_writes_no_more_than_is_new(
    world, fabric, changes
):
    publishers = [await fabric.publish(LEASE_DURATION="3") for _ in range(2)]
    before = await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    tasks = [asyncio.ensure_future(p.says("lease taken")) for p in publishers]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    first, second = sorted(publishers, key=lambda p: "lease taken" not in p.logged())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    holder = (await lease(world, lambda spec: spec.get("holderIdentity")))["holderIdentity"]
    await first.stop(kill=True)
    fabric.say(rack_a=RACK, seats={"devices": ["seat-0", "seat-1"]})
    await second.says("lease taken")
    after = await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0", "seat-1"])
    spec = await lease(world, lambda spec: spec.get("holderIdentity") != holder)
    assert spec["leaseTransitions"] == 1
    rack = f"rack-a-{DRIVER}-0000"
    assert after[rack] == before[rack]
    assert changes == [("ADDED", "rack-a"), ("ADDED", "seats"), ("MODIFIED", "seats")]


async def test_a_stop_gives_the_lease_back_and_leaves_the_slices(world, fabric, changes):
    publisher = await fabric.publish(LEASE_DURATION="600")
    before = await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    await publisher.says("published")
    assert await publisher.stop() == 0
    spec = (await world.api.get("leases", LEASE.name, LEASE.namespace))["spec"]
    assert "holderIdentity" not in spec
    again = await fabric.publish(LEASE_DURATION="600")  # it need not wait
    await again.says("lease taken")
    fabric.say(rack_a=RACK)
    await reads(world, rack_a=["box-0", "box-1"])
    assert changes == [("ADDED", "rack-a"), ("ADDED", "seats"), ("DELETED", "seats")]
    rack = f"rack-a-{DRIVER}-0000"
    assert (await world.slices())[rack] == before[rack]


async def test_who_lost_the_lease_stops_writing_until_it_has_it_again(world, fabric):
    publisher = await fabric.publish(LEASE_DURATION="2", DISCOVER_INTERVAL="0.05")
    await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])

    async def hand_to(holder):
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 3600}
        return await world.api.patch(LEASE, Patch({"spec": spec}))

    await hand_to("stranger")
    await publisher.says("lease lost")
    await publisher.says("another instance publishes")
    fabric.say(rack_a=RACK | {"devices": ["box-0", "box-1", "box-2"]})
    freed = await hand_to(None)
    slices = await reads(world, rack_a=["box-0", "box-1", "box-2"])
    version = int(slices[f"rack-a-{DRIVER}-0000"]["metadata"]["resourceVersion"])
    assert version > int(freed["metadata"]["resourceVersion"])


async def test_a_holder_that_was_frozen_wakes_up_and_writes_nothing(world, fabric):
    newer = Fabric(world, "newer")
    newer.say(rack_a=RACK | {"devices": ["box-2"]})
    frozen = await fabric.publish()
    await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    frozen.process.send_signal(signal.SIGSTOP)
    second = await newer.publish()
    await reads(world, rack_a=["box-2"])
    frozen.process.send_signal(signal.SIGCONT)
    await frozen.says("another instance publishes")
    await world.api.delete(ObjectRef("resourceslices", f"rack-a-{DRIVER}-0000"))
    ((_, body),) = (await reads(world, rack_a=["box-2"])).items()
    assert body["metadata"]["generation"] == 1  # made anew by one, changed by none
    assert second.logged().count("lease taken") == 1


async def test_devices_may_each_name_their_node_where_the_server_knows_how(world, fabric):
    world.server.faults.drop_fields("resourceslices", "spec.perDeviceNodeSelection")
    fabric.say(fabric={"at": {"box-0": NODE}}, seats=EVERYWHERE)
    publisher = await fabric.publish()
    await publisher.says("feature gate DRAPartitionableDevices is off")
    assert devices(await world.slices()) == {"seats": ["seat-0"]}  # one refusal is not the others'
    world.server.faults.clear()
    slices = await reads(world, fabric=["box-0"], seats=["seat-0"])
    body = slices[f"fabric-{DRIVER}-0000"]
    assert body["spec"]["perDeviceNodeSelection"] is True
    assert body["spec"]["devices"] == [{"name": "box-0", "nodeName": NODE}]


async def test_slices_of_nodes_and_of_other_drivers_are_left_alone(world, fabric):
    def theirs(name, driver, **where):
        pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": name},
            "spec": {"driver": driver, "pool": pool, "devices": [], **where},
        }

    await world.api.create("resourceslices", theirs("node", DRIVER, nodeName=NODE))
    await world.api.create("resourceslices", theirs("other", "other.example", allNodes=True))
    await world.api.create("resourceslices", theirs("old", DRIVER, allNodes=True))
    await fabric.publish()
    wanted = {"rack-a": ["box-0", "box-1"], "seats": ["seat-0"], "node": [], "other": []}
    await until(world, lambda s: devices(s) == wanted)


async def test_a_device_a_claim_holds_stays_tainted_when_its_fabric_loses_it(world, fabric):
    await fabric.publish()
    await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    claim = await world.claim({"driver": DRIVER, "pool": "rack-a", "device": "box-1"})
    fabric.say(rack_a={"devices": []})
    await reads(world, rack_a=["box-1*"])
    await world.api.delete(ObjectRef("resourceclaims", claim.name, "default"))
    fabric.say(rack_a={"devices": ["box-2"]})
    await reads(world, rack_a=["box-2"])


async def test_without_the_right_to_list_claims_what_is_gone_counts_as_held(world, fabric):
    world.server.faults.fail("list", "resourceclaims", 403)
    publisher = await fabric.publish()
    await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    fabric.say(rack_a={"devices": ["box-0"]}, seats=EVERYWHERE)
    await reads(world, rack_a=["box-0", "box-1*"], seats=["seat-0"])
    await publisher.says("devices that are gone stay, for claims cannot be listed")


async def test_a_fault_in_one_pool_leaves_the_others_to_be_published(world, fabric):
    publisher = await fabric.publish()
    await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    fabric.say(rack_a=RACK | {"labels": {"rack": "no label"}}, seats={"devices": ["seat-1"]})
    await reads(world, rack_a=["box-0", "box-1"], seats=["seat-1"])
    await publisher.says("pool 'rack-a': its nodes: label 'rack': value 'no label'")


async def test_what_a_refused_pool_still_has_is_given_to_no_other(world, fabric):
    publisher = await fabric.publish()
    await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    world.server.faults.fail("update", "resourceslices", 403, times=100)
    fabric.say(rack_a={"devices": ["box-0"]}, rack_b={"devices": ["box-1"]}, rack_c={"devices": []})
    await publisher.says("slices cannot be kept in step")
    assert devices(await world.slices()) == {"rack-a": ["box-0", "box-1"], "rack-c": []}
    world.server.faults.clear()
    await reads(world, rack_a=["box-0"], rack_b=["box-1"], rack_c=[])


async def test_a_pool_that_is_called_like_a_node_is_told(world, fabric):
    pool = {"name": NODE, "generation": 1, "resourceSliceCount": 1}
    taken = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{NODE}-{DRIVER}-0000"},
        "spec": {"driver": DRIVER, "pool": pool, "devices": [], "nodeName": NODE},
    }
    await world.api.create("resourceslices", taken)
    fabric.say(node_1=EVERYWHERE)
    publisher = await fabric.publish()
    await publisher.says(f"if pool '{NODE}' of driver {DRIVER} is called like a node")


async def test_an_instance_that_waits_for_the_lease_is_ready(world, fabric):
    lease_of_another = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE.name},
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": 3600},
    }
    await world.api.create("leases", lease_of_another, "default")
    standby = await fabric.publish(HTTP_ADDRESS="127.0.0.1:0")
    assert 'pydra_publishes{driver="card.acme.example"} 0.0' in await metrics(standby)
    await world.api.delete(LEASE)
    await reads(world, rack_a=["box-0", "box-1"], seats=["seat-0"])
    told = await metrics(standby)
    assert 'pydra_publishes{driver="card.acme.example"} 1.0' in told
    assert "pydra_registered{" not in told  # its alert is for nodes


async def metrics(publisher):
    """What it tells once it is ready."""
    await publisher.says("probes served")
    address = publisher.logged().partition("address=")[2].split()[0]
    async with aiohttp.ClientSession() as session:
        while (await session.get(f"http://{address}/readyz")).status != HTTPStatus.OK:
            continue
        async with session.get(f"http://{address}/metrics") as answer:
            return await answer.text()


@pytest.fixture
def program(world, capsys):
    """The driver's own program; returns exit code and what it said."""
    source = {"__name__": "fabric", "__file__": str(world.root / "fabric/fabric.py")}
    exec(FABRIC, source)

    def run(driver, *arguments):
        with pytest.raises(SystemExit) as ended:
            main(driver or source["FabricDriver"], arguments)
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    return run


@pytest.mark.usefixtures("fabric")
async def test_discover_shows_the_clusters_pools_when_it_is_asked_to(program):
    code, said = await asyncio.to_thread(program, None, "discover", "--cluster")
    assert code == FINE
    lines = [line.split() for line in said.splitlines()]
    assert ["rack-a", "box-1"] in lines
    assert ["seats", "seat-0"] in lines


async def test_a_driver_without_such_pools_has_nothing_to_publish(program):
    from pydra_pizza.driver import PizzaDriver

    code, said = await asyncio.to_thread(program, PizzaDriver, "publish")
    assert code == USAGE
    assert "driver dra.pizza: has no pools that belong to no node" in said
