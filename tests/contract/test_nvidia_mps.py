"""Claims under MPS: the driver, the keeper, a tool with the real one's words, and programs that see their limits."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import tempfile
from pathlib import Path

import aiohttp
import pytest
from mps_keeper_world import GIB, KeeperWorld, killed
from nvidia_world import API, NODE, error, nvidia, until

from pydra_nvidia_fake.description import Description

__all__ = ["nvidia"]

EXCLUSIVE, DEFAULT = 3, 0
BOTH = {"NVIDIA_SHARES": "memory,sms", "NVIDIA_SHARED_GPUS": "0"}


@pytest.fixture
async def node(nvidia):
    """A machine whose MPS tool is that of a driver version, its keeper, and the driver; call it to start them."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(version="580.95.05", name="h100x8", *, keeper=True, **environ):
            described = dataclasses.replace(Description.load(name), driver=version)
            nvidia.build(described)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp"))
            nvidia.mps = KeeperWorld(nvidia.host, Path(folder))
            stack.push_async_callback(nvidia.mps.close)
            if keeper:
                await nvidia.mps.start()
            nvidia.driver = await serve(nvidia, **environ)
            return nvidia

        yield start


async def serve(nvidia, **environ):
    """Start the driver, told of the keeper."""
    mps = {"NVIDIA_MPS": "on", "NVIDIA_MPS_DIR": str(nvidia.mps.folder)}
    driver = await nvidia.serve(**mps | environ)
    await driver.registered()
    return driver


async def ended(driver):
    """Kill a driver."""
    driver.process.kill()
    await driver.ended()


async def published(nvidia):
    """The devices, once there are any."""
    slices = await until(nvidia.slices)
    return [d for one in slices.values() for d in one["spec"]["devices"]]


def by_mps(**limits):
    sharing = {"strategy": "MPS"} | ({"mpsConfig": limits} if limits else {})
    return {"apiVersion": API, "kind": "GpuConfig", "sharing": sharing}


async def share(nvidia, number, device="gpu-0", parameters=None, **consumed):
    """A claim that is given some of a shared device."""
    result = {
        "driver": "gpu.nvidia.com",
        "pool": NODE,
        "device": device,
        "shareID": f"0000000{number}-1111-4222-8333-444444444444",
        "consumedCapacity": {name: str(amount) for name, amount in consumed.items()},
    }
    opaque = {"opaque": {"driver": "gpu.nvidia.com", "parameters": parameters}}
    config = [{"source": "FromClaim", "requests": [], **opaque}] if parameters else []
    return await nvidia.claim(result, config=config)


def env(nvidia, claim):
    """What a container of the claim has in its environment of MPS."""
    (edits,) = nvidia.spec(claim).values()
    return dict(e.split("=", 1) for e in edits["env"] if e.startswith("CUDA_MPS_"))


def mode(nvidia, gpu=0):
    return nvidia.host.gpus[gpu].state.compute_mode


async def metrics(driver):
    (address,) = re.findall(r"address=(\S+)", driver.logged())
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as got:
        return (await got.text()).splitlines()


async def tenants(nvidia):
    states = await nvidia.mps.keeper.daemons()
    return {t.claim for state in states for t in state.tenants}


async def test_two_claims_share_a_gpu_and_each_sees_its_own_limits(node):
    nvidia = await node(**BOTH)
    small = await share(nvidia, 1, memory="8Gi", sms=32)
    large = await share(nvidia, 2, memory="40Gi", sms=66)
    for claim in (small, large):
        assert await error(nvidia.driver.prepare, claim) == ""
    assert mode(nvidia) == EXCLUSIVE
    seen = [await nvidia.mps.sees(env(nvidia, claim)) for claim in (small, large)]
    assert [(s["sms"], s["memory"]) for s in seen] == [(32, 8 * GIB), (66, 40 * GIB)]
    mounts = {m["containerPath"]: m["hostPath"] for m in nvidia.spec(small)["gpu-0"]["mounts"]}
    assert mounts["/dev/shm"] == str(nvidia.mps.own / "shm")
    assert mounts[env(nvidia, small)["CUDA_MPS_PIPE_DIRECTORY"]] == str(nvidia.mps.own / "pipe")
    assert await error(nvidia.driver.unprepare, small) == ""
    seen = await nvidia.mps.sees(env(nvidia, large))
    assert (seen["sms"], seen["memory"]) == (66, 40 * GIB)
    assert await error(nvidia.driver.unprepare, large) == ""
    assert await nvidia.mps.state() is None
    assert mode(nvidia) == DEFAULT


async def test_a_claim_that_takes_all_has_the_gpu_for_itself_without_mps(node):
    nvidia = await node(**BOTH)
    devices = await published(nvidia)
    capacity = devices[0]["capacity"]
    most = {name: capacity[name]["requestPolicy"]["default"] for name in ("memory", "sms")}
    claim = await share(nvidia, 1, **most)
    assert await error(nvidia.driver.prepare, claim) == ""
    assert env(nvidia, claim) == {}
    assert mode(nvidia) == DEFAULT
    late = await share(nvidia, 2, memory="1Gi", sms=8)
    assert "still in the hands of default/" in await error(nvidia.driver.prepare, late)
    assert await tenants(nvidia) == set()


async def test_what_can_be_held_is_published_and_nothing_more(node):
    nvidia = await node("595.10", **BOTH)
    devices = await published(nvidia)
    shared, *others = devices
    assert shared["attributes"]["smEnforcement"] == {"string": "mps-static"}
    assert shared["attributes"]["unpartitionableSMs"] == {"int": 4}
    assert shared["capacity"]["sms"]["requestPolicy"]["validRange"]["step"] == "8"
    assert not any("sms" in device["capacity"] for device in others)


async def test_a_partition_is_the_claims_alone_and_goes_with_it(node):
    nvidia = await node("595.10", **BOTH)
    claims = [await share(nvidia, n, memory="8Gi", sms=16) for n in (1, 2)]
    for claim in claims:
        assert await error(nvidia.driver.prepare, claim) == ""
    names = {env(nvidia, claim)["CUDA_MPS_SM_PARTITION"] for claim in claims}
    assert len(names) == 2
    assert len(nvidia.mps.partitions()) == 2
    program, _ = await nvidia.mps.program(env(nvidia, claims[0]))
    assert "programs of it still run" in await error(nvidia.driver.unprepare, claims[0])
    assert len(nvidia.mps.partitions()) == 2
    program.kill()
    await program.wait()
    assert await error(nvidia.driver.unprepare, claims[0]) == ""
    assert len(nvidia.mps.partitions()) == 1


async def test_without_a_keeper_no_multiprocessors_are_offered_until_one_comes(node):
    nvidia = await node(keeper=False, **BOTH)

    async def sms():
        return (await published(nvidia))[0]["capacity"].get("sms")

    assert not await sms()
    assert "MPS keeper does not answer" in nvidia.driver.logged()
    claim = await share(nvidia, 1, memory="8Gi", sms=16)
    prepared = asyncio.ensure_future(error(nvidia.driver.prepare, claim))
    await nvidia.mps.start()
    await until(sms)
    assert await prepared == ""  # the kubelet would have come back after a minute only


async def test_a_daemon_that_died_is_told_of_and_runs_again_for_the_next_once_all_have_left(node):
    nvidia = await node(**BOTH)
    one, two, three = [await share(nvidia, n, memory="8Gi", sms=16) for n in (1, 2, 3)]
    assert await error(nvidia.driver.prepare, one) == ""
    assert await error(nvidia.driver.prepare, two) == ""
    killed((await nvidia.mps.state()).pid)
    await until(nvidia.taints, lambda found: found == {"gpu-0": "MpsDaemonDied"})
    said = await error(nvidia.driver.prepare, three)
    assert "its MPS daemon died under default/" in said
    for claim in (one, two):
        assert await error(nvidia.driver.unprepare, claim) == ""
    assert mode(nvidia) == DEFAULT
    assert await nvidia.mps.state() is None
    await ended(
        nvidia.driver
    )  # this process gives no GPU that was sick until it was well for a minute
    nvidia.driver = await serve(nvidia, **BOTH)
    assert await error(nvidia.driver.prepare, three) == ""
    assert (await nvidia.mps.state()).alive


async def test_what_a_killed_driver_had_begun_is_taken_off_its_gpu(node):
    nvidia = await node(**BOTH)
    claim = await share(nvidia, 1, memory="8Gi", sms=16)
    assert await error(nvidia.driver.prepare, claim) == ""
    await ended(nvidia.driver)
    (
        nvidia.root / "kubelet/plugins/gpu.nvidia.com/journal"
    ).unlink()  # what nobody has written down
    for file in nvidia.cdi.glob("*"):
        file.unlink()
    assert await tenants(nvidia) == {claim.uid}
    nvidia.driver = await serve(nvidia, **BOTH)
    await until(lambda: tenants(nvidia), lambda found: not found)
    await until(lambda: mode(nvidia), lambda found: found == DEFAULT)


async def test_a_driver_that_starts_anew_disturbs_no_tenant(node):
    nvidia = await node(**BOTH)
    claim = await share(nvidia, 1, memory="8Gi", sms=33)
    assert await error(nvidia.driver.prepare, claim) == ""
    before, own = await nvidia.mps.state(), env(nvidia, claim)
    program, _ = await nvidia.mps.program(own)
    await ended(nvidia.driver)
    nvidia.driver = await serve(nvidia, **BOTH)
    assert await error(nvidia.driver.prepare, claim) == ""
    after = await nvidia.mps.state()
    assert (after.pid, after.clients) == (before.pid, 1)
    assert env(nvidia, claim) == own
    program.kill()
    await program.wait()
    assert await error(nvidia.driver.unprepare, claim) == ""
    assert mode(nvidia) == DEFAULT


async def test_a_pod_can_go_while_the_keeper_is_away_and_is_taken_off_when_it_is_back(node):
    nvidia = await node(**BOTH)
    claim = await share(nvidia, 1, memory="8Gi", sms=33)
    assert await error(nvidia.driver.prepare, claim) == ""
    await nvidia.mps.kill()
    assert await error(nvidia.driver.unprepare, claim) == ""
    await nvidia.mps.start()
    await until(lambda: tenants(nvidia), lambda found: not found)
    await until(lambda: mode(nvidia), lambda found: found == DEFAULT)


async def test_a_lost_gpu_under_mps_holds_no_pod_back(node):
    nvidia = await node(**BOTH)
    claim = await share(nvidia, 1, memory="8Gi", sms=33)
    assert await error(nvidia.driver.prepare, claim) == ""
    nvidia.host.lose(0)
    assert await error(nvidia.driver.unprepare, claim) == ""
    assert await tenants(nvidia) == set()
    assert "a GPU that is gone is not set back" in nvidia.driver.logged()


async def test_with_mps_switched_off_the_last_to_leave_gives_the_gpu_back(node):
    nvidia = await node(**BOTH)
    claims = [await share(nvidia, number, memory="8Gi", sms=32) for number in (1, 2)]
    for claim in claims:
        assert await error(nvidia.driver.prepare, claim) == ""
    await ended(nvidia.driver)
    await nvidia.mps.kill()
    nvidia.driver = await serve(nvidia, NVIDIA_MPS="off", NVIDIA_SHARES="memory")
    assert await error(nvidia.driver.unprepare, claims[0]) == ""
    assert mode(nvidia) == EXCLUSIVE
    assert await error(nvidia.driver.unprepare, claims[1]) == ""
    assert mode(nvidia) == DEFAULT


async def test_while_the_keeper_is_away_only_gpus_with_tenants_are_said_to_have_no_daemon(node):
    nvidia = await node(NVIDIA_SHARES="memory,sms")
    one, two = [await share(nvidia, n, f"gpu-{n}", memory="8Gi", sms=32) for n in (1, 2)]
    for claim in (one, two):
        assert await error(nvidia.driver.prepare, claim) == ""
    assert await error(nvidia.driver.unprepare, one) == ""
    await nvidia.mps.kill()
    await until(nvidia.taints)
    assert await nvidia.taints() == {"gpu-2": "MpsKeeperGone"}
    assert await error(nvidia.driver.unprepare, two) == ""
    assert mode(nvidia, 2) == DEFAULT


async def test_a_claim_that_comes_while_another_leaves_finds_and_leaves_the_gpu_as_it_was(node):
    nvidia = await node(**BOTH)
    before = await share(nvidia, 1, memory="8Gi", sms=32)
    assert await error(nvidia.driver.prepare, before) == ""
    for number in range(2, 7):
        after = await share(nvidia, number, memory="8Gi", sms=32)
        left, came = error(nvidia.driver.unprepare, before), error(nvidia.driver.prepare, after)
        assert await asyncio.gather(left, came) == ["", ""]
        assert mode(nvidia) == EXCLUSIVE
        before = after
    assert await error(nvidia.driver.unprepare, before) == ""
    assert mode(nvidia) == DEFAULT


async def test_programs_of_a_whole_gpu_share_it_by_mps_as_upstreams_api_says(node):
    nvidia = await node()
    limits = {"defaultActiveThreadPercentage": 50, "defaultPinnedDeviceMemoryLimit": "10Gi"}
    claim = await nvidia.gpus("gpu-1", parameters=by_mps(**limits))
    assert await error(nvidia.driver.prepare, claim) == ""
    seen = await nvidia.mps.sees(env(nvidia, claim))
    assert (seen["sms"], seen["memory"]) == (66, 10 * GIB)
    assert mode(nvidia, 1) == EXCLUSIVE
    assert await error(nvidia.driver.unprepare, claim) == ""
    assert mode(nvidia, 1) == DEFAULT


async def test_programs_of_a_mig_device_share_it_by_mps(node):
    nvidia = await node(name="mixed-mig")
    sharing = {"strategy": "MPS", "mpsConfig": {"defaultActiveThreadPercentage": 50}}
    wanted = {"apiVersion": API, "kind": "MigDeviceConfig", "sharing": sharing}
    claim = await nvidia.gpus("gpu-2-mig-3g40gb-9-4", parameters=wanted)
    assert await error(nvidia.driver.prepare, claim) == ""
    assert "/MIG-" in env(nvidia, claim)["CUDA_MPS_PIPE_DIRECTORY"]
    assert await error(nvidia.driver.unprepare, claim) == ""
    assert await nvidia.mps.keeper.daemons() == ()


async def test_equal_shares_are_held_to_their_part(node):
    nvidia = await node(NVIDIA_SHARES="4")
    claim = await share(nvidia, 1, shares=1)
    assert await error(nvidia.driver.prepare, claim) == ""
    seen = await nvidia.mps.sees(env(nvidia, claim))
    assert seen["sms"] == 32
    assert 0 < seen["memory"] <= nvidia.host.gpus[0].state.memory_total // 4


async def test_conflicts_are_refused_with_the_reason(node):
    nvidia = await node(NVIDIA_SHARES="4")
    turns = {
        "apiVersion": API,
        "kind": "GpuConfig",
        "sharing": {"strategy": "TimeSlicing", "timeSlicingConfig": {"interval": "Long"}},
    }
    first = await share(nvidia, 1, shares=1)
    other = await share(nvidia, 2, shares=1, parameters=turns)
    assert await error(nvidia.driver.prepare, first) == ""
    said = await error(nvidia.driver.prepare, other)
    assert (
        f"its programs would share in turns, and those of default/{first.name} share it by MPS"
        in said
    )
    two = await nvidia.gpus("gpu-2", "gpu-3", parameters=by_mps())
    assert "talks to the MPS daemon of one GPU" in await error(nvidia.driver.prepare, two)
    assert mode(nvidia, 2) == DEFAULT


async def test_multiprocessors_in_turns_are_refused_rather_than_ignored(node):
    nvidia = await node(**BOTH)
    turns = {"apiVersion": API, "kind": "GpuConfig", "sharing": {"strategy": "TimeSlicing"}}
    claim = await share(nvidia, 1, memory="8Gi", sms=16, parameters=turns)
    assert "16 multiprocessors are held to by MPS only" in await error(nvidia.driver.prepare, claim)


async def test_metrics_tell_daemons_programs_and_shares(node):
    nvidia = await node(HTTP_ADDRESS="127.0.0.1:0", **BOTH)
    claim = await share(nvidia, 1, memory="8Gi", sms=66)
    assert await error(nvidia.driver.prepare, claim) == ""
    program, _ = await nvidia.mps.program(env(nvidia, claim))
    wanted = {
        'pydra_nvidia_mps_up{driver="gpu.nvidia.com",gpu="0"} 1.0',
        'pydra_nvidia_mps_clients{driver="gpu.nvidia.com",gpu="0"} 1.0',
        'pydra_nvidia_share_multiprocessors{driver="gpu.nvidia.com",gpu="0",share="00000001"} 66.0',
        'pydra_nvidia_share_memory_bytes{driver="gpu.nvidia.com",gpu="0",share="00000001"} 8.589934592e+09',
    }
    said = await until(lambda: metrics(nvidia.driver), lambda lines: wanted <= {*lines})
    assert not any(line.startswith("pydra_nvidia_share_count{") for line in said)
    program.kill()
    await program.wait()
