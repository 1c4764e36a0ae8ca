"""GPUs, MIG devices and shares for pods without claims: chosen by topology, beside claims, after another device plugin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dialling import dial
from legacy_pods import allocated, claiming, containers, given, offered, pod, taints, variables
from mps_keeper_world import fake_host, keeper_world
from nvidia_world import until

from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb
from pydra_nvidia_fake import FakeHost
from pydra_testbed.conformance import CASES, Passed, Subject, run

__all__ = ["fake_host", "keeper_world"]

KIT = {"DP-01", "DP-02", "DP-04", "DP-05", "DP-06", "DP-08"}
"""Cases in which drivers differ; the others are about the framework, and pizzas pass them."""
GPU, SHARED = "nvidia.com/gpu", "nvidia.com/gpu.shared"
ONLY = {"ENABLE_DRA": "false", "ENABLE_DEVICE_PLUGIN": "true"}
BOTH = {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "true"}
CLAIMS = {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "false"}
COMMAND = [sys.executable, "-m", "pydra_nvidia", "run"]
OTHER = Path(__file__).parents[2] / "packages/pydra-testbed/tests/kubelet/deviceplugin.py"
KIND = "device.attributes['gpu.nvidia.com'].type == 'gpu'"
CLASS = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "gpu.nvidia.com"},
    "spec": {
        "selectors": [{"cel": {"expression": f"device.driver == 'gpu.nvidia.com' && {KIND}"}}],
        "extendedResourceName": GPU,
    },
}


@pytest.fixture
async def node(testbed, tmp_path):
    """Start the driver on a machine; returns the machine."""
    host = None

    async def start(description, modes, **environ):
        nonlocal host
        host = host or FakeHost.build(description, tmp_path / "machine")
        told = {"NVIDIA_HOST_ROOT": str(host.root)} | modes | environ
        if modes is ONLY:
            host.driver = await testbed.plugin(COMMAND, GPU, environ=told)
        else:
            host.driver = await testbed.driver(COMMAND, environ=told)
        return host

    await testbed.apply(CLASS)
    return start


def is_unschedulable(body):
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(one.get("reason") == "Unschedulable" for one in conditions)


def minors(testbed, name):
    """The minor numbers of the GPUs whose nodes a container has."""
    nodes = [one["path"] for one in containers(testbed)[name]["linux"]["devices"]]
    own = [path.removeprefix("/dev/nvidia") for path in nodes]
    return sorted(int(number) for number in own if number.isdigit())


async def test_a_pod_without_a_claim_gets_gpus_that_belong_together_beside_those_of_claims(
    testbed, node
):
    host = await node("h100x8", BOTH)
    await testbed.apply(*claiming("one", "gpu.nvidia.com"))
    await testbed.pod("one", "Running")
    assert await allocated(testbed, "one") == ["gpu-0"]
    await offered(testbed, GPU, 7)
    await testbed.apply(pod("four", GPU, 4), pod("three", GPU, 3))
    for name in ("four", "three"):
        await testbed.pod(name, "Running")
    had = await given(testbed)
    assert sorted(had["four"]) == sorted(host.gpus[n].uuid for n in (4, 5, 6, 7))
    assert minors(testbed, "four") == [4, 5, 6, 7]
    assert minors(testbed, "three") == [1, 2, 3]
    told = variables(containers(testbed)["four"])
    assert told["NVIDIA_VISIBLE_DEVICES"] == "void"
    found = await until(lambda: taints(testbed), lambda seen: len(seen) == 7)
    assert {*found.values()} == {"gpu.nvidia.com/device-plugin=gpu:NoSchedule"}


async def test_mig_devices_are_asked_for_by_profile(testbed, node):
    host = await node("mixed-mig", ONLY)
    await testbed.apply(
        pod("media", "nvidia.com/mig-1g.10gb.me"),
        pod("two", "nvidia.com/mig-1g.10gb", 2),
        pod("whole", GPU),
    )
    for name in ("media", "two", "whole"):
        await testbed.pod(name, "Running")
    had = await given(testbed)
    assert had["whole"] == [host.gpus[0].uuid]
    assert {*had["media"], *had["two"]} <= {*host.gpus[1].mig_uuids}
    caps = [one["path"] for one in containers(testbed)["media"]["linux"]["devices"]]
    assert sum("nvidia-cap" in path for path in caps) == 2
    assert (await testbed.api.list("resourceslices")).items == ()


async def test_shares_of_a_gpu_are_counted_one_by_one(testbed, node):
    host = await node("phb-4", BOTH, NVIDIA_SHARES="2")
    await offered(testbed, SHARED, 8)
    await testbed.apply(pod("some", SHARED, 3))
    await testbed.pod("some", "Running")
    assert (await given(testbed))["some"] == sorted(f"{host.gpus[n].uuid}::0" for n in (0, 1, 2))
    await offered(testbed, GPU, 0)


async def test_by_mps_each_share_is_a_tenant_and_a_container_has_one(testbed, keeper_world):
    world = keeper_world()
    keeper = await world.start()
    environ = {
        "NVIDIA_HOST_ROOT": str(world.host.root),
        "NVIDIA_MPS": "on",
        "NVIDIA_MPS_DIR": str(world.folder),
        "NVIDIA_SHARES": "4",
    }
    await testbed.driver(COMMAND, environ=environ | BOTH)
    await offered(testbed, SHARED, 32)
    await testbed.apply(pod("greedy", SHARED, 2), pod("one", SHARED))
    refused = (await testbed.pod("greedy", "Failed"))["status"]
    assert refused["reason"] == "UnexpectedAdmissionError"
    assert "a container can use 1 of them" in refused["message"]
    await testbed.pod("one", "Running")
    (share,) = (await given(testbed))["one"]
    (daemon,) = await keeper.daemons()
    (tenant,) = daemon.tenants
    assert (tenant.name, tenant.percent) == (f"{SHARED}/{share}", 25)
    told = variables(containers(testbed)["one"])
    assert told["CUDA_MPS_PIPE_DIRECTORY"] == str(world.folder / share.partition("::")[0] / "pipe")


async def test_a_gpu_in_shares_is_either_of_claims_or_of_pods_with_limits(testbed, node):
    await node("phb-4", BOTH, NVIDIA_SHARES="2")
    await testbed.apply(*claiming("one", "gpu.nvidia.com"))
    await testbed.pod("one", "Running")
    assert await allocated(testbed, "one") == ["gpu-0"]
    await offered(testbed, SHARED, 6)
    await testbed.apply(pod("some", SHARED, 3))
    await testbed.pod("some", "Running")
    found = await until(lambda: taints(testbed), lambda seen: len(seen) == 3)
    assert sorted(found) == ["gpu-1", "gpu-2", "gpu-3"]
    await testbed.apply(*claiming("two", "gpu.nvidia.com"))
    await testbed.pod("two", "Running")
    assert await allocated(testbed, "two") == ["gpu-0"]
    await testbed.apply(*claiming("three", "gpu.nvidia.com"))
    await testbed.until("pods", "three", is_unschedulable)


async def test_a_runtime_without_cdi_gets_device_nodes_and_mounts(testbed, node):
    """Asked as the kubelet asks: the testbed's runtime would look for the machine's device nodes in its own `/dev`."""
    host = await node("t4x1", ONLY, DEVICE_PLUGIN_ANSWER="plain")
    (place,) = testbed.nodes.values()
    (socket,) = {*(place.kubelet_root / "device-plugins").glob("*.sock")} - {
        place.kubelet_root / "device-plugins/kubelet.sock"
    }
    one = pb.ContainerAllocateRequest(devices_ids=[host.gpus[0].uuid])
    async with dial(socket) as channel:
        allocate = channel.unary_unary(
            "/v1beta1.DevicePlugin/Allocate",
            request_serializer=pb.AllocateRequest.SerializeToString,
            response_deserializer=pb.AllocateResponse.FromString,
        )
        (given_,) = (
            await allocate(pb.AllocateRequest(container_requests=[one]))
        ).container_responses
    assert {"/dev/nvidia0", "/dev/nvidiactl"} <= {d.container_path for d in given_.devices}
    assert any("libcuda" in mount.container_path and mount.read_only for mount in given_.mounts)
    assert given_.envs["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert not given_.cdi_devices


@pytest.mark.timeout(120)  # three programs start one after the other
async def test_what_another_device_plugin_gave_to_a_pod_that_runs_is_given_to_nobody_else(
    testbed, node, tmp_path
):
    host = FakeHost.build("phb-4", tmp_path / "before")  # the same machine, for its UUIDs
    uuids = [gpu.uuid for gpu in host.gpus]
    other = await testbed.plugin([sys.executable, str(OTHER), "--alone", GPU, *uuids], GPU)
    await testbed.apply(pod("old", GPU))
    await testbed.pod("old", "Running")
    (had,) = (await given(testbed))["old"]
    await other.stop()
    await node("phb-4", BOTH)
    found = await until(lambda: taints(testbed), bool)
    assert [*found] == [f"gpu-{uuids.index(had)}"]
    await testbed.apply(*claiming("rest", "gpu.nvidia.com", 3))
    await testbed.pod("rest", "Running")
    assert {*await allocated(testbed, "rest")}.isdisjoint(found)
    await offered(testbed, GPU, 1)


async def test_pods_move_to_claims_by_the_name_of_the_resource_and_back(testbed, node):
    host = await node("phb-4", BOTH)
    await offered(testbed, GPU, 4)
    await testbed.apply(pod("old", GPU))
    await testbed.pod("old", "Running")
    (had,) = (await given(testbed))["old"]
    await until(lambda: taints(testbed), bool)  # a driver that ends before it told keeps nobody off
    await host.driver.stop()
    await node("phb-4", CLAIMS)
    await offered(testbed, GPU, 0)
    await testbed.apply(pod("new", GPU, 3))
    await testbed.pod("new", "Running")
    kept = [gpu.minor for gpu in host.gpus if gpu.uuid == had]
    assert minors(testbed, "new") == sorted({0, 1, 2, 3} - {*kept})
    await host.driver.stop()
    await node("phb-4", BOTH)
    await offered(testbed, GPU, 1)


@pytest.mark.timeout(120)
async def test_the_conformance_kit_has_nothing_against_it(tmp_path, monkeypatch):
    host = FakeHost.build("mixed-mig", tmp_path / "machine")
    monkeypatch.setenv("NVIDIA_HOST_ROOT", str(host.root))
    cases = [case for case in CASES if case.id in KIT]
    results = await run(Subject(tuple(COMMAND)), cases)
    assert {r.case.id: r.outcome for r in results if not isinstance(r.outcome, Passed)} == {}
