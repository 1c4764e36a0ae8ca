"""What is read of real GPUs, against `nvidia-smi`. Nothing is changed; without a GPU it is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from nvidia_hosts import Probe, nvml

from pydra_nvidia import reading

MIB = 1 << 20
ROOT = os.environ.get("NVIDIA_DRIVER_ROOT", "/")
pytestmark = [
    pytest.mark.skipif(
        not shutil.which("nvidia-smi") or not Path("/dev/nvidiactl").exists(),
        reason="no NVIDIA GPU here: neither nvidia-smi nor /dev/nvidiactl",
    ),
    pytest.mark.timeout(300),  # a driver without persistence mode begins slowly
]


@pytest.fixture(scope="module")
def said():
    """What `nvidia-smi -q -x` says."""
    done = subprocess.run(["nvidia-smi", "-q", "-x"], check=True, capture_output=True, text=True)
    return ET.fromstring(done.stdout)


@pytest.fixture
async def probe():
    made = Probe(Path("/"))
    yield made
    await made.sdk.close()


async def snapshot(probe):
    sent = await probe.sdk(nvml.snapshot, ROOT, timeout=120)
    return reading.snapshot(sent, Path("/"))


def word(element, path):
    """A value as nvidia-smi prints it; None where it has none."""
    text = (element.findtext(path) or "").strip()
    return None if text in {"", "N/A", "[N/A]", "Requested functionality has been deprecated"} else text  # fmt: skip


async def test_the_host_and_every_gpu_are_as_nvidia_smi_says(probe, said):
    found = await snapshot(probe)
    assert found.host.driver == word(said, "driver_version")
    assert found.host.cuda == word(said, "cuda_version")
    told = {word(gpu, "uuid"): gpu for gpu in said.findall("gpu")}
    assert found.by_uuid.keys() == told.keys()
    for uuid, gpu in found.by_uuid.items():
        other = told[uuid]
        assert gpu.faults == gpu.condition.faults == ()
        assert gpu.name == word(other, "product_name")
        assert gpu.minor == int(word(other, "minor_number"))
        assert gpu.serial == word(other, "serial")
        assert gpu.vbios == word(other, "vbios_version")
        assert gpu.memory.total // MIB == int(word(other, "fb_memory_usage/total").split()[0])
        assert other.get("id").lower().endswith(gpu.bus_id)
        mig = word(other, "mig_mode/current_mig")
        assert (gpu.mig and gpu.mig.current) == (None if mig is None else mig == "Enabled")
        ecc = word(other, "ecc_mode/current_ecc")
        assert (gpu.ecc and gpu.ecc.current) == (None if ecc is None else ecc == "Enabled")
        parts = other.findall("mig_devices/mig_device")
        assert [(p.gpu_instance, p.compute_instance) for p in gpu.mig_devices] == [
            (int(word(p, "gpu_instance_id")), int(word(p, "compute_instance_id"))) for p in parts
        ]


async def test_the_kernel_knows_each_gpu_at_its_place(probe):
    at_their_places((await snapshot(probe)).gpus)


def at_their_places(gpus):
    for gpu in gpus:
        folder = Path("/sys/bus/pci/devices") / gpu.bus_id
        if not folder.exists():
            pytest.skip("this container's /sys does not show PCI devices")
        assert (folder / "vendor").read_text().strip() == "0x10de"
        assert gpu.pcie_root is not None
        assert Path(f"/dev/nvidia{gpu.minor}").is_char_device()


async def test_gpus_can_be_watched_and_looked_at(probe):
    found = await snapshot(probe)
    told = await probe.sdk(nvml.health, ROOT, timeout=60)
    conditions = reading.conditions(told, Path("/"))
    assert [one.uuid for one in conditions] == [gpu.uuid for gpu in found.gpus]
    assert all(one.readable and 0 < one.temperature < 110 for one in conditions)
    reports = probe.sdk.events(nvml.reports, ROOT, 10.0)
    first = [reading.event(await anext(reports), Path("/")) for _ in found.gpus]
    await reports.aclose()
    assert {event.kind for event in first} <= {"watched", "unwatched"}
