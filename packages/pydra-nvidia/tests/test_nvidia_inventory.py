"""What is published of each described machine, held against a file, and what holds of all of them.

After a wanted change write the files again: `GOLDEN=write uv run pytest packages/pydra-nvidia/tests/test_nvidia_inventory.py`,
and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nvidia_hosts import HOSTS, driver, fake_host

from pydra_core import Version
from pydra_core.attributes import schema_faults
from pydra_nvidia.devices import SCHEMA

__all__ = ["driver", "fake_host"]

GOLDEN = Path(__file__).parent / "golden"
MOST = 32


def shown(inventory):
    """One line for each thing: what all devices share first, then each device with its own."""
    every = [facts(device) for device in inventory.devices]
    shared = set.intersection(*(set(each) for each in every)) if every else set()
    lines = [f"{len(every)} devices", *(line for line in every[0] if line in shared)]
    for device, own in zip(inventory.devices, every, strict=True):
        lines += [device.name, *(f"    {line}" for line in own if line not in shared)]
    return "\n".join(lines) + "\n"


def facts(device):
    own = [f"{n} = {written(v)}" for n, v in device.attributes.items()]
    own += [f"{n} : {v}" for n, v in device.capacity.items()]
    return own + [f"taint {taint}" for taint in device.taints]


def written(value):
    return f"version {value.text}" if isinstance(value, Version) else repr(value)


@pytest.mark.parametrize("name", HOSTS)
async def test_a_described_machine_is_published_as_written_down(fake_host, driver, name):
    inventory = await driver(fake_host(name)).discover()
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(shown(inventory), encoding="utf-8")
    assert shown(inventory) == file.read_text(encoding="utf-8")
    assert schema_faults(SCHEMA, inventory) == ()
    assert max(len(d.attributes) + len(d.capacity) for d in inventory.devices) <= MOST


async def test_names_and_order_outlive_new_indices(fake_host, driver):
    host = fake_host("h100x8")
    before = await driver(host).discover()
    for gpu in host.gpus:  # as after a restart that found the cards in another order
        gpu.state.minor = 7 - gpu.minor
    after = await driver(host).discover()
    assert [d.name for d in after.devices] == [d.name for d in before.devices]
    was = {d.attributes["uuid"]: d.name for d in before.devices}
    assert {d.attributes["uuid"]: f"gpu-{7 - int(d.name[4:])}" for d in after.devices} == was


async def test_a_lost_gpu_stays_published_as_it_was_and_the_others_keep_their_names(
    fake_host, driver
):
    host = fake_host("h100x8")
    nvidia = driver(host)
    before = await nvidia.discover()
    host.lose(2)
    after = await nvidia.discover()
    assert [d.name for d in after.devices] == [f"gpu-{n}" for n in range(8)]
    assert after.devices[2].attributes["uuid"] == before.devices[2].attributes["uuid"]
    assert after.devices[2].capacity == before.devices[2].capacity
    host.find(2)
    assert await nvidia.discover() == before


async def test_a_gpu_that_was_lost_before_the_start_is_published_by_its_name_when_it_is_back(
    fake_host, driver
):
    host = fake_host("h100x8")
    host.lose(2)
    nvidia = driver(host)
    assert [d.name for d in (await nvidia.discover()).devices] == [
        f"gpu-{n}" for n in (0, 1, 3, 4, 5, 6, 7)
    ]
    host.find(2)
    assert [d.name for d in (await nvidia.discover()).devices] == [f"gpu-{n}" for n in range(8)]


async def test_mig_devices_made_again_at_the_same_place_have_the_same_names(fake_host, driver):
    host = fake_host("mixed-mig")
    nvidia = driver(host)
    before = await nvidia.discover()
    instances = host.gpus[2].instances
    host.reset(2)
    without = await nvidia.discover()
    assert not any(d.name.startswith("gpu-2") for d in without.devices)
    for one in reversed(instances):
        host.partition(2, one.profile, one.start, *one.computes.values())
    assert [d.name for d in (await nvidia.discover()).devices] == [d.name for d in before.devices]
