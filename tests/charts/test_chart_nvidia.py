"""The chart with NVIDIA's values: on a testbed's node that is a machine with GPUs, and with fewer rights."""

from __future__ import annotations

import asyncio
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from charts.golden import kept
from pydra_nvidia_fake import FakeHost
from pydra_testbed.manifests import ManifestError

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.testbed(authorization="RBAC"),
]
ROOT = Path(__file__).parents[2]
NAMESPACE, NAME = "kube-system", "dra-driver-nvidia"


@pytest.fixture
async def release(testbed, placed, new_release, tmp_path):
    """The chart, installed with the values a vendor's user has, on a machine with eight GPUs."""
    host = FakeHost.build("h100x8", tmp_path / "machine")
    program = [sys.executable, "-m", "pydra_nvidia"]
    objects = await placed(
        "nvidia", f"{NAMESPACE}/{NAME}", program, NVIDIA_HOST_ROOT=str(host.root)
    )
    made = new_release(testbed.server, objects)
    await made.install()
    node = await testbed.api.get("nodes", "laptop")
    node["metadata"].setdefault("labels", {})["nvidia.com/gpu.present"] = "true"
    await testbed.api.update("nodes", node)
    await testbed.until("resourceslices", "laptop-gpu.nvidia.com-0000", bool, namespace="")
    return made


async def test_a_release_serves_its_node_and_its_test_finds_a_gpu(testbed, release):
    tester = await release.test()
    await testbed.pod(tester, "Succeeded", namespace=NAMESPACE)
    while "A GPU with its driver." not in await testbed.log(tester, namespace=NAMESPACE):  # noqa: ASYNC110 (a process says it)
        await asyncio.sleep(0.02)


@pytest.mark.usefixtures("release")
async def test_parameters_that_the_driver_does_not_know_are_refused_when_they_are_written(testbed):
    def claim(**sharing):
        parameters = {"apiVersion": "resource.nvidia.com/v1beta1", "kind": "GpuConfig"}
        opaque = {"driver": "gpu.nvidia.com", "parameters": parameters | {"sharing": sharing}}
        request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "shared", "namespace": "default"},
            "spec": {"devices": {"requests": [request], "config": [{"opaque": opaque}]}},
        }

    with pytest.raises(ManifestError, match=r"sharing\.strategy: must be one of MPS, Time"):
        await testbed.apply(claim(strategy="Slicing"))
    await testbed.apply(claim(strategy="TimeSlicing", timeSlicingConfig={"interval": "Long"}))


def test_classes_are_those_of_the_demo():
    demo = files("pydra_nvidia") / "demo" / "1-classes.yaml"
    shown = {b["metadata"]["name"]: b["spec"] for b in yaml.safe_load_all(demo.read_text())}
    made = {
        b["metadata"]["name"]: b["spec"]
        for b in kept_objects("nvidia")
        if b["kind"] == "DeviceClass"
    }
    assert made == shown


def test_with_fewer_rights_the_pod_writes_nowhere_but_where_each_driver_does():
    pod = pod_of("nvidia-small")
    assert pod["runtimeClassName"] == "nvidia"
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "runAsUser": 0,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {m["name"] for m in container["volumeMounts"] if not m.get("readOnly")}
    assert writable == {"plugins", "registry", "cdi"}
    assert all(v["hostPath"]["path"] != "/" for v in pod["volumes"])


def test_what_is_read_of_the_host_lies_below_the_root_the_driver_is_told():
    for case in ("nvidia", "nvidia-small"):
        (container,) = pod_of(case)["containers"]
        (root,) = [e["value"] for e in container["env"] if e["name"] == "NVIDIA_HOST_ROOT"]
        read = [m["mountPath"] for m in container["volumeMounts"] if m.get("readOnly")]
        assert read
        assert all(path == root or path.startswith(f"{root}/") for path in read)


def kept_objects(case):
    return kept(ROOT, case)


def pod_of(case):
    (found,) = [b for b in kept_objects(case) if b["kind"] == "DaemonSet"]
    return found["spec"]["template"]["spec"]
