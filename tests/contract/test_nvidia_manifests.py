"""The manifests of docs/manifests/nvidia, with the real driver on machines that have what they ask for."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import pytest
from shown_pages import execute, items

from pydra_nvidia.mps.client import Keeper
from pydra_nvidia_fake import FakeHost
from pydra_testbed.objects import Selection

FOLDER = Path(__file__).parents[2] / "docs" / "manifests" / "nvidia"
CLASSES = files("pydra_nvidia") / "demo" / "1-classes.yaml"
WHOLE = {
    "one-gpu-each": [{"first"}, {"second"}],
    "shared-by-containers": [{"pair"}],
    "shared-by-pods": [{"reader", "writer"}],
    "time-slices": [{"turns"}, {"turns"}],
    "selectors": [{"modern"}],
    "linked-gpus": [{"linked"}] * 4,
    "extended-resource": [{"as-ever"}],
    "admin-access": [{"monitor"}] * 8,
}
"""Who has a GPU, for each GPU that somebody has."""
PARTS = {
    "mig": {
        "gpu-1-mig-1g10gb-19-0": {"parts"},
        "gpu-1-mig-1g10gb-19-1": {"parts"},
        "gpu-1-mig-1g10gb-me-20-6": {"parts"},
    },
    "first-available": {"gpu-2-mig-3g40gb-9-4": {"part-or-whole"}},
}
"""Who has which MIG device."""
MEMORY = {"memory-shares": {"gpu-0": {"small", "large"}}}
NUMBER = {
    "equal-shares": {"gpu-0": {"first", "second"}},
    "share-class": {"gpu-0": {"by-claim", "by-resource"}},
}
"""Who has a share of which GPU, with shares of memory and with a number of equal ones."""
GIB = 1 << 30
MPS = {
    "mps-two-sizes": {(64, None, 40 * GIB), (16, None, 10 * GIB)},
    "mps-by-containers": {(None, 50, 32 * GIB)},
}
"""What the tenants of the GPU are held to by MPS: multiprocessors, percent, and bytes."""


@pytest.fixture
async def machine(testbed, tmp_path):
    """Start the driver on a machine; returns the machine."""
    await testbed.apply(Path(str(CLASSES)))

    async def start(description, **settings):
        host = FakeHost.build(description, tmp_path / "machine")
        environ = {"NVIDIA_HOST_ROOT": str(host.root)} | settings
        await testbed.driver([sys.executable, "-m", "pydra_nvidia", "run"], environ=environ)
        return host

    return start


@pytest.fixture
async def mps_dir(tmp_path):
    """A folder in which the node's keeper serves, once there is a machine; all its daemons end with the test."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        environ = {"NVIDIA_HOST_ROOT": str(tmp_path / "machine"), "NVIDIA_MPS_DIR": folder}
        command = [sys.executable, "-m", "pydra_nvidia", "mps-keeper"]
        keeper = await asyncio.create_subprocess_exec(*command, env=os.environ | environ)
        yield folder
        keeper.terminate()
        assert await keeper.wait() == 0
        assert running(folder) == []


def running(folder):
    """Daemons that are left."""
    return [path.parent.name for path in Path(folder).glob("*/daemon.json")]


async def users(testbed, name, look=None):
    """Apply a file; returns who has each device, once all its pods run. Afterwards what it made is deleted."""
    refs = await testbed.apply(FOLDER / f"{name}.yaml")
    pods = [ref for ref in refs if ref.resource == "pods"]
    for ref in pods:
        await testbed.pod(ref.name, "Running", namespace=ref.namespace)
    found = {}
    for claim in (await testbed.api.list("resourceclaims", Selection())).items:
        for result in claim["status"]["allocation"]["devices"]["results"]:
            reserved = {each["name"] for each in claim["status"]["reservedFor"]}
            found.setdefault(result["device"], set()).update(reserved)
    if look:
        await look()
    rest = [ref for ref in reversed(refs) if ref.resource not in ("pods", "namespaces")]
    for ref in [*pods, *rest]:
        await testbed.delete(ref.resource, ref.name, ref.namespace)
    while (await testbed.api.list("resourceclaims", Selection())).items:
        await testbed.cluster.clock.sleep(0.02)
    return found


@pytest.mark.timeout(120)
@pytest.mark.testbed(gates={"DRAExtendedResource": True})
async def test_each_manifest_about_whole_gpus_gets_them(testbed, machine):
    host = await machine("h100x8")
    for name, wanted in WHOLE.items():
        found = await users(testbed, name)
        assert sorted(map(sorted, found.values())) == sorted(map(sorted, wanted)), name
    quick, slow, *ends = (call.split()[-3:] for call in host.smi_calls)
    assert [quick[1:], slow[1:]] == [["--set-timeslice", "1"], ["--set-timeslice", "3"]]
    assert sorted(ends) == sorted([uuid, "--set-timeslice", "0"] for uuid in (quick[0], slow[0]))


async def test_each_manifest_about_parts_of_gpus_gets_them(testbed, machine):
    await machine("mixed-mig")
    for name, wanted in PARTS.items():
        assert await users(testbed, name) == wanted, name


async def test_each_manifest_about_memory_of_gpus_gets_it(testbed, machine):
    await machine("h100x8", NVIDIA_SHARES="memory")
    for name, wanted in MEMORY.items():
        assert await users(testbed, name) == wanted, name


@pytest.mark.testbed(gates={"DRAExtendedResource": True})
async def test_each_manifest_about_equal_shares_gets_them(testbed, machine):
    host = await machine("h100x8", NVIDIA_SHARES="2")
    for name, wanted in NUMBER.items():
        assert await users(testbed, name) == wanted, name
    set_to = [call.split()[-1] for call in host.smi_calls]
    assert set_to[0] == "3"
    assert set_to[-1] == "0"


@pytest.mark.timeout(120)
async def test_each_manifest_about_mps_gets_its_limits(testbed, machine, mps_dir):
    settings = {"NVIDIA_SHARES": "memory,sms", "NVIDIA_SHARED_GPUS": "0"}
    host = await machine("h100x8", NVIDIA_MPS="on", NVIDIA_MPS_DIR=mps_dir, **settings)
    keeper, seen = Keeper(Path(mps_dir)), []

    async def look():
        (daemon,) = await keeper.daemons()
        assert daemon.alive
        seen.append({(t.sms, t.percent, t.memory) for t in daemon.tenants})

    for name, wanted in MPS.items():
        (found,) = (await users(testbed, name, look)).items()
        assert found[0] == "gpu-0"
        assert seen.pop() == wanted, name
    assert {gpu.state.compute_mode for gpu in host.gpus} == {0}


def test_every_manifest_is_tried_and_stands_in_the_index():
    there = {file.stem for file in FOLDER.glob("*.yaml")}
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (
        there
        == {*WHOLE, *PARTS, *MEMORY, *NUMBER, *MPS}
        == set(re.findall(r"^\| \[([a-z-]+)\]\(\1\.yaml\)", index, re.MULTILINE))
    )


def test_whether_a_machine_has_what_a_file_asks_for_is_told_without_a_cluster(tmp_path):
    for file in (Path(str(CLASSES)), *FOLDER.glob("*.yaml")):
        shutil.copy(file, tmp_path)
    execute(list(items((FOLDER / "README.md").read_text(encoding="utf-8"))), tmp_path)
