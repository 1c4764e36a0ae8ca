"""The chart with NVIDIA's values: on a testbed's node that is a machine with GPUs, and with fewer rights."""

from __future__ import annotations

import asyncio
import copy
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from shown_pages import items

from charts.golden import kept
from pydra_nvidia.mps.client import Keeper
from pydra_nvidia_fake import FakeHost
from pydra_testbed.manifests import ManifestError

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.testbed(authorization="RBAC"),
]
ROOT = Path(__file__).parents[2]
NAMESPACE, NAME = "kube-system", "dra-driver-nvidia"


@pytest.fixture
async def installed(testbed, placed, new_release, tmp_path):
    """Install the chart as a golden file has it, on a machine with eight GPUs; returns the release."""

    async def install(case, account, **environ):
        host = FakeHost.build("h100x8", tmp_path / "machine")
        program = [sys.executable, "-m", "pydra_nvidia"]
        environ |= {"NVIDIA_HOST_ROOT": str(host.root)}
        made = new_release(testbed.server, await placed(case, account, program, **environ))
        await made.install()
        node = await testbed.api.get("nodes", "laptop")
        node["metadata"].setdefault("labels", {})["nvidia.com/gpu.present"] = "true"
        await testbed.api.update("nodes", node)
        await testbed.until("resourceslices", "laptop-gpu.nvidia.com-0000", bool, namespace="")
        return made

    return install


@pytest.fixture
async def release(installed):
    """With the values a vendor's user has."""
    return await installed("nvidia", f"{NAMESPACE}/{NAME}")


@pytest.fixture
def short():
    """A folder with room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield Path(folder)


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


async def test_parts_of_gpus_are_held_by_a_keeper_that_an_upgrade_leaves_alone(
    testbed, installed, short
):
    release = await installed("nvidia-shares", "drivers/kitchen-dra-driver", NVIDIA_MPS_DIR=str(short))  # fmt: skip
    page = (ROOT / "docs" / "user" / "gpus-shared.md").read_text(encoding="utf-8")
    (claim,) = [yaml.safe_load(text) for name, text in items(page) if name == "claim.yaml"]
    container = {"name": "c", "image": "none", "command": ["sleep", "600"]}
    container["resources"] = {"claims": [{"name": "gpu"}]}
    spec = {
        "containers": [container],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "a-quarter"}],
    }
    metadata = {"name": "tenant", "namespace": "default"}
    await testbed.apply(
        claim, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    )
    await testbed.pod("tenant", "Running")
    (before,) = await Keeper(short).daemons()
    assert [(t.name, t.sms, t.memory) for t in before.tenants] == [
        ("default/a-quarter", 32, 20 << 30)
    ]

    newer = copy.deepcopy(release.objects)
    for body in newer:
        if body["kind"] == "DaemonSet":
            (inside,) = body["spec"]["template"]["spec"]["containers"]
            inside["env"].append({"name": "NVIDIA_HARMLESS_XIDS", "value": "94"})
    await release.upgrade(newer)
    await testbed.until("daemonsets", "kitchen-dra-driver", rolled_out, namespace="drivers")
    assert await Keeper(short).daemons() == (before,)
    await testbed.delete("pods", "tenant")
    while await Keeper(short).daemons():  # noqa: ASYNC110 (the kubelet is at work)
        await asyncio.sleep(0.02)


def rolled_out(body):
    """Whether the second generation of a DaemonSet serves."""
    status = body.get("status") or {}
    return (
        status.get("observedGeneration") == 2
        and status["updatedNumberScheduled"] == status["numberAvailable"] == 1
    )


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
    assert writable == {"plugins", "registry", "cdi", "device-plugins"}
    assert all(v["hostPath"]["path"] != "/" for v in pod["volumes"])


def test_what_is_read_of_the_host_lies_below_the_root_the_driver_is_told():
    for case in ("nvidia", "nvidia-small"):
        (container,) = pod_of(case)["containers"]
        (root,) = [e["value"] for e in container["env"] if e["name"] == "NVIDIA_HOST_ROOT"]
        mounts = [m for m in container["volumeMounts"] if m["name"] != "pod-resources"]
        read = [m["mountPath"] for m in mounts if m.get("readOnly")]
        assert read
        assert all(path == root or path.startswith(f"{root}/") for path in read)


def test_what_keeps_mps_daemons_is_there_when_it_is_asked_for_and_ended_by_no_upgrade():
    assert keeper_in("nvidia") is None
    body = keeper_in("nvidia-shares")
    assert body["spec"]["updateStrategy"] == {"type": "OnDelete"}
    (container,) = body["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["pydra-nvidia", "mps-keeper"]
    assert not {"livenessProbe", "startupProbe", "lifecycle"} & container.keys()


def test_keeper_driver_and_host_know_the_folder_of_mps_by_one_path():
    driver, keeper = pod_of("nvidia-shares"), keeper_in("nvidia-shares")["spec"]["template"]["spec"]
    for pod, is_writer in ((driver, False), (keeper, True)):
        (container,) = pod["containers"]
        (path,) = [e["value"] for e in container["env"] if e["name"] == "NVIDIA_MPS_DIR"]
        (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == path]
        (volume,) = [v["hostPath"] for v in pod["volumes"] if v["name"] == mount["name"]]
        assert volume == {"path": path, "type": "DirectoryOrCreate"}
        assert mount.get("readOnly", False) is not is_writer


def test_the_keeper_finds_the_vendors_programs_where_the_driver_does_and_on_the_same_nodes():
    driver, keeper = pod_of("nvidia-shares"), keeper_in("nvidia-shares")["spec"]["template"]["spec"]
    for key in ("affinity", "tolerations", "priorityClassName"):
        assert keeper[key] == driver[key]
    (ours,), (its,) = driver["containers"], keeper["containers"]
    assert its["image"] == ours["image"]
    assert {"name": "NVIDIA_HOST_ROOT", "value": "/host"} in its["env"]
    assert [m for m in its["volumeMounts"] if m["name"] in ("host", "dev")] == [
        m for m in ours["volumeMounts"] if m["name"] in ("host", "dev")
    ]


def test_the_driver_is_told_of_shares_and_mps_only_where_they_are_wanted():
    def told(case):
        (container,) = pod_of(case)["containers"]
        return {e["name"]: e.get("value") for e in container["env"] if e["name"].startswith("NVIDIA_")}  # fmt: skip

    assert told("nvidia").keys() == {"NVIDIA_HOST_ROOT"}
    assert told("nvidia-shares") == {
        "NVIDIA_HOST_ROOT": "/host",
        "NVIDIA_SHARES": "memory,sms",
        "NVIDIA_SHARED_GPUS": "0,1",
        "NVIDIA_MPS": "on",
        "NVIDIA_MPS_DIR": "/run/mps",
    }


def test_nobody_reaches_the_keeper_over_the_network():
    (policy,) = [b["spec"] for b in kept_objects("nvidia-shares") if b["kind"] == "NetworkPolicy"]
    template = keeper_in("nvidia-shares")["spec"]["template"]
    chosen = policy["podSelector"]["matchLabels"]
    assert chosen.items() <= template["metadata"]["labels"].items()
    assert "ports" not in template["spec"]["containers"][0]


def keeper_in(case):
    """The DaemonSet that keeps MPS daemons, or None."""
    found = [b for b in kept_objects(case) if b["kind"] == "DaemonSet" and is_keeper(b)]
    return found[0] if found else None


def is_keeper(body):
    labels = body["spec"]["selector"]["matchLabels"]
    return labels["app.kubernetes.io/component"] == "mps-keeper"


def kept_objects(case):
    return kept(ROOT, case)


def pod_of(case):
    sets = [b for b in kept_objects(case) if b["kind"] == "DaemonSet"]
    (found,) = [body for body in sets if not is_keeper(body)]
    return found["spec"]["template"]["spec"]
