"""Partitions on the stub, asked and made by the real pynvml: geometry, limits, who sees what."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nvidia_hosts import LIBRARY, bound, code, fake_host, handle, text

import pydra_nvidia_fake

__all__ = ["bound", "fake_host"]

TABLES = json.loads(text(Path(pydra_nvidia_fake.__file__).parent / "tables/mig.json"))
BY_HOST = {
    "a100-40x8": "A100-SXM4-40GB",
    "a100-80x8": "A100-SXM4-80GB",
    "h100x8": "H100-SXM5-80GB",
    "h200x8": "H200-SXM5-141GB",
    "b200x8": "B200-180GB",
    "a30x1": "A30-24GB",
}


def profiles(gpu):
    found = {}
    for number in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT):
        try:
            info = pynvml.nvmlDeviceGetGpuInstanceProfileInfo(gpu, number, version=2)
        except pynvml.NVMLError_NotSupported:
            continue
        found[number] = info
    return found


def placements(gpu, profile_id):
    count = ctypes.c_uint()
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(gpu, profile_id, None, ctypes.byref(count))
    array = (pynvml.c_nvmlGpuInstancePlacement_t * count.value)()
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(gpu, profile_id, array, ctypes.byref(count))
    return [(p.start, p.size) for p in array]


def create(gpu, profile_id, start, size):
    place = pynvml.c_nvmlGpuInstancePlacement_t(start, size)
    return pynvml.nvmlDeviceCreateGpuInstanceWithPlacement(gpu, profile_id, ctypes.byref(place))


def partitioned(host, index=0):
    gpu = handle(index)
    host.gpus[index].state.mig_current = host.gpus[index].state.mig_pending = 1
    return gpu


@pytest.mark.parametrize(("name", "table"), BY_HOST.items())
def test_profiles_and_placements_are_those_of_the_table(bound, name, table):
    bound(name)
    gpu = handle()
    found = profiles(gpu)
    rows = {row["number"]: row for row in TABLES[table]["profiles"]}
    assert found.keys() == rows.keys()
    for number, row in rows.items():
        info = found[number]
        assert info.name == f"MIG {row['name']}"
        assert (info.id, info.sliceCount) == (row["id"], row["slices"])
        assert (info.memorySizeMB, info.multiprocessorCount) == (row["memory_mib"], row["sm"])
        engines = (info.copyEngineCount, info.decoderCount, info.jpegCount, info.ofaCount)
        assert engines == tuple(row[key] for key in ("ce", "dec", "jpg", "ofa"))
        assert placements(gpu, info.id) == [(start, row["size"]) for start in row["starts"]]


def test_instances_are_numbered_as_on_real_gpus_and_shown_by_the_kernel(bound):
    host = bound("a100-40x8")
    gpu = partitioned(host)
    near, far = create(gpu, 9, 0, 4), create(gpu, 9, 4, 4)
    assert [pynvml.nvmlGpuInstanceGetInfo(one).id for one in (near, far)] == [2, 1]
    pynvml.nvmlGpuInstanceCreateComputeInstance(near, 2)
    shown = host.root / "proc/driver/nvidia/capabilities/gpu0/mig"
    assert "DeviceFileMinor: 21\n" in text(shown / "gi2/access")
    assert "DeviceFileMinor: 22\n" in text(shown / "gi2/ci0/access")
    minors = text(host.root / "proc/driver/nvidia-caps/mig-minors")
    assert "gpu0/gi2/access 21\ngpu0/gi2/ci0/access 22\n" in minors
    assert [(one.id, one.start, one.computes) for one in host.gpus[0].instances] == [
        (2, 0, {0: 3}),
        (1, 4, {}),
    ]
    pynvml.nvmlGpuInstanceDestroy(far)
    assert not (shown / "gi1").exists()


def test_what_overlaps_or_is_in_use_is_refused(bound):
    host = bound("h100x8")
    gpu = partitioned(host)
    instance = create(gpu, 5, 0, 4)
    compute = pynvml.nvmlGpuInstanceCreateComputeInstance(instance, 3)
    with pytest.raises(pynvml.NVMLError_InsufficientResources):
        create(gpu, 19, 3, 1)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        create(gpu, 9, 2, 4)
    with pytest.raises(pynvml.NVMLError_InsufficientResources):
        pynvml.nvmlGpuInstanceCreateComputeInstance(instance, 0)
    with pytest.raises(pynvml.NVMLError_InUse):
        pynvml.nvmlGpuInstanceDestroy(instance)
    with pytest.raises(pynvml.NVMLError_InUse):
        pynvml.nvmlDeviceSetMigMode(gpu, 0)
    pynvml.nvmlComputeInstanceDestroy(compute)
    pynvml.nvmlGpuInstanceDestroy(instance)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):  # the handle went with it
        pynvml.nvmlGpuInstanceGetInfo(instance)
    assert host.gpus[0].instances == ()


@pytest.mark.parametrize(("name", "status"), [("a100-40x8", 16), ("h100x8", 0)])
def test_mig_mode_needs_a_reset_where_it_does_in_reality(bound, name, status):
    host = bound(name)
    gpu = handle(3)
    assert pynvml.nvmlDeviceSetMigMode(gpu, 1) == status
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [int(not status), 1]
    host.reset(3)
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [1, 1]


def test_a_placement_by_value_is_a_segmentation_fault(fake_host):
    host = fake_host("h100x8")
    host.gpus[0].state.mig_current = 1
    program = (
        "import ctypes, pynvml\n"
        f"pynvml.nvmlLib = ctypes.CDLL({str(host.root / LIBRARY)!r})\n"
        "pynvml.nvmlInit()\n"
        "place = pynvml.c_nvmlGpuInstancePlacement_t(0, 4)\n"
        "pynvml.nvmlDeviceCreateGpuInstanceWithPlacement(pynvml.nvmlDeviceGetHandleByIndex(0), 9, place)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -11


def test_another_process_sees_what_one_created(bound):
    host = bound("h100x8")
    gpu = partitioned(host, 2)
    pynvml.nvmlGpuInstanceCreateComputeInstance(create(gpu, 19, 6, 1), 0)
    program = (
        "import ctypes, pynvml\n"
        f"pynvml.nvmlLib = ctypes.CDLL({str(host.root / LIBRARY)!r})\n"
        "pynvml.nvmlInit()\n"
        "gpu = pynvml.nvmlDeviceGetHandleByIndex(2)\n"
        "part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0)\n"
        "print(pynvml.nvmlDeviceGetUUID(part), pynvml.nvmlDeviceGetName(part))\n"
        "print(pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)  # fmt: skip
    uuid = host.gpus[2].mig_uuids[0]
    assert said.stdout == f"{uuid} NVIDIA H100 80GB HBM3 MIG 1g.10gb\n2\n"
    part = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    assert pynvml.nvmlDeviceGetAttributes(part).memorySizeMB == 9984


def test_two_processes_that_create_at_once_share_what_there_is(fake_host):
    host = fake_host("h100x8")
    host.gpus[0].state.mig_current = 1
    program = (
        "import ctypes, sys, pynvml\n"
        f"pynvml.nvmlLib = ctypes.CDLL({str(host.root / LIBRARY)!r})\n"
        "pynvml.nvmlInit()\n"
        "gpu = pynvml.nvmlDeviceGetHandleByIndex(0)\n"
        "sys.stdin.read(1)\n"
        "made = 0\n"
        "try:\n"
        "    while pynvml.nvmlDeviceCreateGpuInstance(gpu, 19): made += 1\n"
        "except pynvml.NVMLError_InsufficientResources:\n"
        "    print(made)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for one in both:
        one.stdin.write(b".")
        one.stdin.flush()
    assert sum(int(one.communicate()[0]) for one in both) == 7
    assert [one.start for one in host.gpus[0].instances] == [*range(7)]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wishes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_no_sequence_of_creations_hands_out_a_slice_twice(bound, wishes):
    host = getattr(bound, "host", None) or bound("h100x8")
    bound.host = host
    host.reset(0)
    gpu = partitioned(host)
    rows = TABLES["H100-SXM5-80GB"]["profiles"]
    for which, where in wishes:
        row = rows[which]
        start = row["starts"][where % len(row["starts"])]
        before = host.gpus[0].instances
        try:
            create(gpu, row["id"], start, row["size"])
        except pynvml.NVMLError_InsufficientResources:
            assert host.gpus[0].instances == before
    made = [(one.start, next(r for r in rows if r["name"] == one.profile)) for one in host.gpus[0].instances]  # fmt: skip
    taken = [slot for start, row in made for slot in range(start, start + row["size"])]
    assert len(taken) == len(set(taken))
    whole = next(row for row in rows if row["slices"] == 7)
    for thing in ("slices", "sm", "ce", "dec", "jpg", "ofa"):
        assert sum(row[thing] for _, row in made) <= whole[thing]


def test_compute_instances_share_an_instance(bound):
    host = bound("mixed-mig")
    gpu = handle(2)
    parts = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            parts.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index))
        except pynvml.NVMLError_NotFound:
            continue
    said = [pynvml.nvmlDeviceGetName(part).rpartition(" ")[2] for part in parts]
    assert said == ["3g.40gb", "1c.2g.20gb", "1c.2g.20gb", "1g.20gb"]
    assert [len(one.computes) for one in host.gpus[2].instances] == [2, 1, 1]
    with pytest.raises(pynvml.NVMLError) as failed:
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle(0), 0)
    assert code(failed) == pynvml.NVML_ERROR_NOT_FOUND
