"""MIG devices made for claims by the real driver process: what is made, kept, undone and left alone."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from nvidia_world import DRIVER, error, nvidia, until

from pydra_nvidia_fake.description import Description, Topology
from pydra_nvidia_fake.trouble import Code

__all__ = ["nvidia"]

FIRST, LAST, THIRD = "gpu-0-mig-1g10gb-19-0", "gpu-0-mig-1g10gb-19-6", "gpu-0-mig-3g40gb-9-4"
CREATE, DESTROY = "nvmlDeviceCreateGpuInstanceWithPlacement", "nvmlGpuInstanceDestroy"
FILL = "nvmlGpuInstanceCreateComputeInstance"


@pytest.fixture
def node(nvidia):
    """A node with an H100 machine whose first GPU is in MIG mode."""
    host = nvidia.build("h100x8")
    host.gpus[0].state.mig_current = host.gpus[0].state.mig_pending = 1
    return nvidia


async def serve(node, **environ):
    driver = await node.serve(**{"NVIDIA_MIG": "dynamic"} | environ)
    await driver.registered()
    return driver


def there(node, gpu=0):
    return [(one.profile, one.start, len(one.computes)) for one in node.host.gpus[gpu].instances]


async def devices(node):
    bodies = (await node.slices()).values()
    return {d["name"]: d for body in bodies for d in body["spec"].get("devices") or ()}


async def published(node):
    await until(lambda: whole(node))
    return await devices(node)


async def whole(node):
    """Whether all slices of the pool are there."""
    pools = [body["spec"]["pool"] for body in (await node.slices()).values()]
    return pools and len(pools) == pools[0]["resourceSliceCount"]


async def test_every_profile_at_every_placement_is_published_with_its_counters(node):
    await serve(node)
    found = await published(node)
    parts = [name for name in found if name.startswith("gpu-0-")]
    assert len(parts) == 25
    assert [name for name in found if "mig" not in name] == [f"gpu-{n}" for n in range(1, 8)]
    (taken,) = found[THIRD]["consumesCounters"]
    assert taken["counterSet"] == "gpu-0-counter-set"
    assert taken["counters"]["memory-slice-7"] == {"value": "1"}
    assert taken["counters"]["multiprocessors"] == {"value": "60"}
    assert "uuid" not in found[THIRD]["attributes"]
    sets = [
        s for b in (await node.slices()).values() for s in b["spec"].get("sharedCounters") or ()
    ]
    assert [s["name"] for s in sets] == ["gpu-0-counter-set"]
    assert sets[0]["counters"]["multiprocessors"] == {"value": "132"}


async def test_a_device_is_made_given_to_the_container_and_undone(node):
    driver = await serve(node)
    claim = await node.gpus(THIRD)
    assert await error(driver.prepare, claim) == ""
    assert there(node) == [("3g.40gb", 4, 1)]
    paths = [n["path"] for n in node.spec(claim)[THIRD]["deviceNodes"]]
    assert "/dev/nvidia0" in paths
    assert [p for p in paths if "nvidia-caps/" in p] == [
        "/dev/nvidia-caps/nvidia-cap12",
        "/dev/nvidia-caps/nvidia-cap13",
    ]
    assert await error(driver.prepare, claim) == ""
    assert there(node) == [("3g.40gb", 4, 1)]
    assert await error(driver.unprepare, claim) == ""
    assert await error(driver.unprepare, claim) == ""
    assert there(node) == []


@pytest.mark.parametrize("call", [CREATE, FILL, DESTROY])
async def test_a_crash_of_nvml_leaves_nothing_once_the_claim_is_gone(node, call):
    driver = await serve(node)
    claim = await node.gpus(FIRST, THIRD)
    node.host.crash(call, times=1)
    said = await error(driver.prepare, claim)
    assert bool(said) == (call != DESTROY)
    if said:
        assert f"GPU {node.host.gpus[0].uuid}: {call} ended by SIGSEGV" in said
        assert await error(driver.prepare, claim) == ""
    else:
        assert "ended by SIGSEGV" in await error(driver.unprepare, claim)
    assert await error(driver.unprepare, claim) == ""
    assert there(node) == []


@pytest.mark.parametrize("call", [CREATE, FILL])
async def test_what_a_killed_driver_had_begun_is_undone_at_the_next_start(node, call):
    driver = await serve(node)
    claim = await node.gpus(FIRST, THIRD)
    node.host.hang(call, times=1)
    waiting = asyncio.ensure_future(driver.prepare(claim))
    await until(lambda: all(fault.left == 0 for fault in node.host.state.faults if fault.symbol))
    await driver.stop(kill=True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    node.host.mend()
    driver = await serve(node)
    await until(lambda: not there(node))
    assert await error(driver.prepare, claim) == ""
    assert len(there(node)) == 2
    assert await error(driver.unprepare, claim) == ""
    assert there(node) == []


async def test_after_a_restart_what_claims_hold_is_kept_and_undone_with_them(node):
    driver = await serve(node)
    claim = await node.gpus(THIRD)
    assert await error(driver.prepare, claim) == ""
    await driver.stop(kill=True)
    driver = await serve(node)
    found = await published(node)
    assert len([name for name in found if name.startswith("gpu-0-")]) == 25
    assert there(node) == [("3g.40gb", 4, 1)]
    assert await error(driver.prepare, claim) == ""
    assert await error(driver.unprepare, claim) == ""
    assert there(node) == []


async def test_what_programs_use_stays_until_they_end(node):
    driver = await serve(node)
    claim = await node.gpus(THIRD)
    assert await error(driver.prepare, claim) == ""
    node.host.fail("nvmlComputeInstanceDestroy", Code.IN_USE)
    said = await error(driver.unprepare, claim)
    assert f"GPU {node.host.gpus[0].uuid}" in said
    assert "end the programs that use it" in said
    assert there(node) == [("3g.40gb", 4, 1)]
    node.host.mend()
    assert await error(driver.unprepare, claim) == ""
    assert there(node) == []


async def test_what_somebody_else_destroyed_needs_no_undoing(node):
    driver = await serve(node)
    claim = await node.gpus(THIRD)
    assert await error(driver.prepare, claim) == ""
    node.host.reset(0)
    assert await error(driver.unprepare, claim) == ""


async def test_instances_of_others_are_published_as_they_are_and_never_undone(node):
    node.host.partition(0, "3g.40gb", 4)
    driver = await serve(node)
    found = await published(node)
    static = f"{THIRD}-static"
    assert "consumesCounters" not in found[static]
    assert found[static]["attributes"]["uuid"]["string"] == node.host.gpus[0].mig_uuids[0]
    assert {n for n in found if n.startswith("gpu-0-mig-3g")} == {static, "gpu-0-mig-3g40gb-9-0"}
    assert "gpu-0-mig-1g10gb-19-6" not in found
    claim, other = await node.gpus(static), await node.gpus("gpu-0-mig-4g40gb-5-0")
    for one in (claim, other):
        assert await error(driver.prepare, one) == ""
        assert await error(driver.unprepare, one) == ""
    assert there(node) == [("3g.40gb", 4, 1)]


async def test_a_claim_that_came_too_late_says_who_is_in_the_way_and_undoes_nothing(node):
    driver = await serve(node)
    await published(node)
    claims = [await node.gpus(THIRD), await node.gpus(LAST)]
    node.host.partition(0, "3g.40gb", 4)
    said = await error(driver.prepare, claims[0])
    assert "GPU instance 1 is in the way of 3g.40gb at 4, and no claim holds it" in said
    said = await error(driver.prepare, claims[1])
    assert "no claim holds" in said
    await driver.stop(kill=True)
    driver = await serve(node)
    for claim in claims:
        assert await error(driver.unprepare, claim) == ""
    assert there(node) == [("3g.40gb", 4, 1)]


async def test_a_journal_that_was_lost_costs_no_running_pod_its_device(node):
    driver = await serve(node)
    claim = await node.gpus(THIRD)
    assert await error(driver.prepare, claim) == ""
    await driver.stop()
    (journal := node.root / "kubelet/plugins" / DRIVER / "journal").unlink()
    driver = await serve(node)
    assert journal.exists()
    assert await error(driver.prepare, claim) == ""
    assert there(node) == [("3g.40gb", 4, 1)]
    assert await error(driver.unprepare, claim) == ""
    assert there(node) == []


async def test_admin_access_sees_what_is_made_and_keeps_its_hands_off(node):
    driver = await serve(node)
    watcher = await node.gpus(admin=(THIRD,))
    assert "no claim has it made" in await error(driver.prepare, watcher)
    user = await node.gpus(THIRD)
    assert await error(driver.prepare, user) == ""
    assert await error(driver.prepare, watcher) == ""
    assert await error(driver.unprepare, watcher) == ""
    assert there(node) == [("3g.40gb", 4, 1)]
    assert await error(driver.unprepare, user) == ""
    assert there(node) == []


async def test_without_the_setting_nothing_is_made_or_undone(node):
    node.host.partition(0, "3g.40gb", 4)
    driver = await serve(node, NVIDIA_MIG="static")
    found = await published(node)
    assert THIRD in found
    assert not any("consumesCounters" in device for device in found.values())
    claim = await node.gpus(THIRD)
    assert await error(driver.prepare, claim) == ""
    assert await error(driver.unprepare, claim) == ""
    assert there(node) == [("3g.40gb", 4, 1)]


async def test_slices_that_another_claim_is_about_to_give_back_are_waited_for(node):
    driver = await serve(node)
    leaving, coming = await node.gpus(THIRD), await node.gpus(LAST)
    assert await error(driver.prepare, leaving) == ""
    waiting = asyncio.ensure_future(error(driver.prepare, coming))
    assert await error(driver.unprepare, leaving) == ""
    assert await waiting == ""
    assert there(node) == [("1g.10gb", 6, 1)]


async def test_a_gpu_whose_mode_was_switched_off_says_so_and_holds_no_pod_back(node):
    driver = await serve(node)
    held, late = await node.gpus(THIRD), await node.gpus(FIRST)
    assert await error(driver.prepare, held) == ""
    node.host.gpus[0].state.mig_pending = 0
    node.host.reset(0)
    assert await error(driver.unprepare, held) == ""
    said = await error(driver.prepare, late)
    assert f"MIG mode of GPU {node.host.gpus[0].uuid} is off" in said


async def test_more_gpus_than_a_slice_has_room_for_counters_of(nvidia):
    one = Description.load("h100x8")
    count = 12
    matrix = tuple(tuple("X" if a == b else "SYS" for a in range(count)) for b in range(count))
    many = dataclasses.replace(
        one,
        topology=Topology(matrix, (0,) * count),
        bus=tuple(range(1, count + 1)),
        domains=(0,) * count,
        minors=tuple(range(count)),
        partitioned=tuple(range(count)),
    )
    nvidia.build(many)
    await serve(nvidia)
    assert len(await published(nvidia)) == count * 25
    bodies = [body["spec"] for body in (await nvidia.slices()).values()]
    sets = [[s["name"] for s in spec.get("sharedCounters") or ()] for spec in bodies]
    assert sorted(map(len, filter(None, sets))) == [4, 8]
    assert {name for names in sets for name in names} == {
        f"gpu-{n}-counter-set" for n in range(count)
    }
