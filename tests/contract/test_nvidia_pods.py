"""Pods with GPUs: a machine with a stub of NVML, the real driver process, and the testbed's cluster around it."""

from __future__ import annotations

import asyncio
import textwrap

import pytest
from nvidia_pods import node

__all__ = ["node"]

CLASSES = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.nvidia.com}
spec:
  selectors:
  - cel: {expression: "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'"}
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: mig.nvidia.com}
spec:
  selectors:
  - cel: {expression: "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'mig'"}
---
"""
POD = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {{name: {name}}}
spec:
  devices:
    requests:
    - name: gpu
      exactly: {exactly}
    {more}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  resourceClaims:
  - {{name: gpu, resourceClaimName: {name}}}
  containers:
  - name: main
    image: cuda
    command: [sh, -c, 'echo "$NVIDIA_VISIBLE_DEVICES $LD_LIBRARY_PATH"; exec sleep 1000']
    resources: {{claims: [{{name: gpu}}]}}
"""


@pytest.fixture
def pod(testbed, tmp_path):
    """Make a claim and its pod, and wait until the pod is in a phase."""

    async def run(name, phase="Running", exactly="{deviceClassName: gpu.nvidia.com}", more=""):
        file = tmp_path / f"{name}.yaml"
        text = POD.format(name=name, exactly=exactly, more=textwrap.indent(more, "    ").strip())
        file.write_text(text)
        await testbed.apply(file)
        await testbed.pod(name, phase)
        return await devices(testbed, name)

    return run


async def devices(testbed, name):
    claim = await testbed.api.get("resourceclaims", name, "default")
    allocation = claim.get("status", {}).get("allocation") or {"devices": {"results": []}}
    return [r["device"] for r in allocation["devices"]["results"]]


async def test_a_pod_gets_a_whole_gpu_with_the_drivers_files(testbed, node, pod):
    await node("h100x8")
    assert await pod("one") == ["gpu-0"]
    while not (said := await testbed.log("one")):  # noqa: ASYNC110 (another process says it)
        await asyncio.sleep(0.02)
    assert said == "void /usr/local/nvidia/lib64\n"


async def test_a_pod_gets_a_mig_device(node, pod):
    await node("mixed-mig")
    selector = "{deviceClassName: mig.nvidia.com, selectors: [{cel: {expression: \"device.attributes['gpu.nvidia.com'].profile == '3g.40gb'\"}}]}"
    assert await pod("one", exactly=selector) == ["gpu-2-mig-3g40gb-9-4"]


async def test_gpus_of_one_nvlink_group_are_asked_for_by_attribute(node, pod):
    await node("crossed-8")
    same = "constraints: [{matchAttribute: gpu.nvidia.com/nvlinkGroup, requests: [gpu]}]"
    found = await pod("two", exactly="{deviceClassName: gpu.nvidia.com, count: 2}", more=same)
    assert found == ["gpu-0", "gpu-4"]


async def test_pods_get_mig_devices_on_demand_as_far_as_counters_allow(testbed, node, pod):
    host = await node("mixed-mig", NVIDIA_MIG="dynamic")
    selector = "{deviceClassName: mig.nvidia.com, selectors: [{cel: {expression: \"device.attributes['gpu.nvidia.com'].profile == '3g.40gb'\"}}]}"
    assert await pod("first", exactly=selector) == ["gpu-2-mig-3g40gb-9-4-static"]
    assert await pod("second", exactly=selector) == ["gpu-3-mig-3g40gb-9-4"]
    assert await pod("third", exactly=selector) == ["gpu-3-mig-3g40gb-9-0"]
    assert await pod("fourth", phase="Pending", exactly=selector) == []
    assert [(one.profile, one.start) for one in host.gpus[3].instances] == [
        ("3g.40gb", 0),
        ("3g.40gb", 4),
    ]
    await testbed.delete("pods", "third")
    await testbed.pod("fourth", "Running")
    assert await devices(testbed, "fourth") == ["gpu-3-mig-3g40gb-9-0"]
    assert len(host.gpus[3].instances) == 2
