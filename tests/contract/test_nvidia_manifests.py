"""The manifests of docs/manifests/nvidia, with the real driver on machines that have what they ask for."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from shown_pages import execute, items

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


async def users(testbed, name):
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


def test_every_manifest_is_tried_and_stands_in_the_index():
    there = {file.stem for file in FOLDER.glob("*.yaml")}
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (
        there
        == {*WHOLE, *PARTS, *MEMORY, *NUMBER}
        == set(re.findall(r"^\| \[([a-z-]+)\]\(\1\.yaml\)", index, re.MULTILINE))
    )


def test_whether_a_machine_has_what_a_file_asks_for_is_told_without_a_cluster(tmp_path):
    for file in (Path(str(CLASSES)), *FOLDER.glob("*.yaml")):
        shutil.copy(file, tmp_path)
    execute(list(items((FOLDER / "README.md").read_text(encoding="utf-8"))), tmp_path)
