"""What pods may ask for without a claim, of machines as they are described; each ID is prepared as a claim would be."""

from __future__ import annotations

import pytest
from nvidia_hosts import HOSTS, driver, fake_host

from pydra_core import (
    Allocation,
    Capacity,
    Claim,
    ClaimRef,
    Consumption,
    Device,
    Inventory,
    RequestPolicy,
)
from pydra_core.resources import Resource, ResourceDevice
from pydra_nvidia.resources import resources

__all__ = ["driver", "fake_host"]

MOST_ID = 63


def names(found):
    return {r.name: [one.devices for one in r.devices] for r in found}


async def test_gpus_and_mig_devices_are_named_as_nvidias_device_plugin_names_them(
    fake_host, driver
):
    here = driver(fake_host("mixed-mig"))
    found = here.resources(await here.discover())
    counts = {resource.name: len(resource.devices) for resource in found}
    assert counts == {
        "nvidia.com/gpu": 1,
        "nvidia.com/mig-1g.10gb": 6,
        "nvidia.com/mig-1g.10gb.me": 1,
        "nvidia.com/mig-1g.20gb": 1,
        "nvidia.com/mig-3g.40gb": 1,
    }  # and none of the two compute instances that share a 2g.20gb
    (gpu,) = found[0].devices
    assert gpu.devices == ("gpu-0",)
    assert gpu.id == here._parts["gpu-0"].uuid
    assert all(one.id.startswith("MIG-") for resource in found[1:] for one in resource.devices)


@pytest.mark.parametrize("name", HOSTS)
async def test_each_id_is_unique_short_and_stands_for_a_device_that_is_published(
    fake_host, driver, name
):
    here = driver(fake_host(name))
    inventory = await here.discover()
    published = [device.name for device in inventory.devices]
    every = [one for resource in here.resources(inventory) for one in resource.devices]
    assert len({one.id for one in every}) == len(every)
    assert all(0 < len(one.id) <= MOST_ID for one in every)
    stood_for = [device for one in every for device in one.devices]
    assert len({*stood_for}) == len(stood_for)
    assert {*stood_for} <= {*published}


async def test_an_id_is_prepared_like_the_claim_that_holds_its_device(fake_host, driver):
    here = driver(fake_host("h100x8"))
    (resource,) = here.resources(await here.discover())
    held = Allocation(request="resource", pool="node", device=resource.devices[3].devices[0])
    ref = ClaimRef(uid="u", namespace="", name=resource.devices[3].id, resource=resource.name)
    (prepared,) = await here.prepare(Claim(ref=ref, allocations=(held,)))
    assert "/dev/nvidia3" in {node.path for node in prepared.edits.device_nodes}
    assert prepared.state["uuid"] == resource.devices[3].id


async def test_mig_devices_that_are_made_for_claims_are_offered_to_claims_alone(
    fake_host, driver, monkeypatch
):
    monkeypatch.setenv("NVIDIA_MIG", "dynamic")
    here = driver(fake_host("mixed-mig"))
    inventory = await here.discover()
    assert any(device.consumes for device in inventory.devices)
    found = names(here.resources(inventory))
    assert [*found["nvidia.com/gpu"]] == [("gpu-0",)]
    others = [device for name in found for (device,) in found[name] if name != "nvidia.com/gpu"]
    assert others
    assert all(device.endswith("-static") for device in others)


def gpu(number, **facts):
    own = {"type": "gpu", "uuid": f"GPU-{number}"} | facts.pop("attributes", {})
    return Device(f"gpu-{number}", attributes=own, **facts)


def test_a_gpu_in_equal_shares_is_offered_by_the_share_and_no_more_as_a_whole():
    one = RequestPolicy(default="1", valid_values=("1", "2", "3"))
    divided = gpu(0, shareable=True, capacity={"shares": Capacity("3", one), "memory": "80Gi"})
    found = resources(Inventory(divided, gpu(1)))
    assert found == (
        Resource("nvidia.com/gpu", (ResourceDevice(id="GPU-1", devices=("gpu-1",)),)),
        Resource(
            "nvidia.com/gpu.shared",
            tuple(
                ResourceDevice(id=f"GPU-0::{n}", devices=("gpu-0",), share=str(n)) for n in range(3)
            ),
        ),
    )


def test_of_shares_that_are_held_by_mps_a_container_uses_one():
    one = RequestPolicy(default="1", valid_values=("1", "2"))
    held = {"shareable": True, "capacity": {"shares": Capacity("2", one)}}
    (by_mps,) = resources(Inventory(gpu(0, attributes={"smEnforcement": "mps-percent"}, **held)))
    (in_turns,) = resources(Inventory(gpu(0, attributes={"smEnforcement": "none"}, **held)))
    assert (by_mps.most, in_turns.most) == (1, 0)


def test_a_gpu_that_claims_share_by_memory_or_multiprocessors_is_offered_whole():
    memory = Capacity("80Gi", RequestPolicy(default="80Gi"))
    by_memory = gpu(0, shareable=True, capacity={"memory": memory, "sms": Capacity("132")})
    (resource,) = resources(Inventory(by_memory))
    assert resource.devices == (ResourceDevice(id="GPU-0", devices=("gpu-0",)),)


def test_what_has_no_uuid_or_draws_on_counters_is_not_offered():
    made = gpu(0, consumes=(Consumption("gpu-0-counter-set", {"memory": "1Gi"}),))
    nameless = Device("gpu-1", attributes={"type": "gpu"})
    assert resources(Inventory(made, nameless)) == ()
