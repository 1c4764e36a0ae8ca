"""The machines themselves: each description, what the kernel shows, the oddities of pynvml, and faults."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
from pathlib import Path

import pynvml
import pytest
from nvidia_hosts import HOSTS, LIBRARY, bound, fake_host, handle, text

from pydra_core.values import pci_attributes
from pydra_nvidia_fake import CompilerMissingError, Description, FakeHost
from pydra_nvidia_fake.__main__ import main
from pydra_nvidia_fake.library import library
from pydra_nvidia_fake.trouble import Code

__all__ = ["bound", "fake_host"]

WORDS = {10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}


def ends(gpu):
    """Bus ID at the other end of each active link, and whether it is a switch's."""
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        try:
            if pynvml.nvmlDeviceGetNvLinkState(gpu, link):
                kind = pynvml.nvmlDeviceGetNvLinkRemoteDeviceType(gpu, link)
                yield pynvml.nvmlDeviceGetNvLinkRemotePciInfo(gpu, link).busId, kind == 2
        except pynvml.NVMLError:
            return


def connection(one, other):
    """As `nvidia-smi topo -m` derives it."""
    peer = pynvml.nvmlDeviceGetPciInfo(other).busId
    links = sum(switch or bus_id == peer for bus_id, switch in ends(one))
    level = pynvml.nvmlDeviceGetTopologyCommonAncestor(one, other)
    return f"NV{links}" if links else WORDS[level]


@pytest.mark.parametrize("name", HOSTS)
def test_the_topology_read_through_nvml_is_the_one_described(bound, name):
    host = bound(name)
    gpus = [handle(index) for index in range(len(host.gpus))]
    read = tuple(
        tuple("X" if i == j else connection(one, other) for j, other in enumerate(gpus))
        for i, one in enumerate(gpus)
    )
    assert read == Description.load(name).topology.matrix


@pytest.mark.parametrize("name", HOSTS)
def test_sysfs_and_proc_agree_with_nvml(bound, name):
    host = bound(name)
    topology = Description.load(name).topology
    roots = []
    for index, gpu in enumerate(host.gpus):
        one = handle(index)
        minor = pynvml.nvmlDeviceGetMinorNumber(one)
        told = text(host.root / f"proc/driver/nvidia/gpus/{gpu.bus_id}/information")
        assert f"GPU UUID: \t {pynvml.nvmlDeviceGetUUID(one)}\n" in told
        assert f"Device Minor: \t {minor}\n" in told
        said = pci_attributes(host.root, pynvml.nvmlDeviceGetPciInfo(one).busId)
        assert said["resource.kubernetes.io/numaNode"] == topology.numa[index]
        roots.append(said["resource.kubernetes.io/pcieRoot"])
        node = os.lstat(host.root / f"dev/nvidia{minor}")
        if host.nodes_are_real:
            assert stat.S_ISCHR(node.st_mode)
            assert (os.major(node.st_rdev), os.minor(node.st_rdev)) == (195, minor)
        else:
            assert stat.S_ISFIFO(node.st_mode)
    for i, row in enumerate(topology.matrix):
        for j, word in enumerate(row):
            if word in {"PIX", "PXB", "PHB"}:
                assert roots[i] == roots[j]
            elif word in {"NODE", "SYS"}:
                assert roots[i] != roots[j]


def test_the_driver_may_lie_elsewhere(bound):
    host = bound("t4x1", driver_root="/run/nvidia/driver")
    assert (host.root / "run/nvidia/driver" / LIBRARY).is_file()
    assert not (host.root / "usr").exists()
    assert pynvml.nvmlSystemGetDriverVersion() == "535.183.06"
    assert (host.driver_root / "usr/lib/x86_64-linux-gnu/libcuda.so.535.183.06").is_file()


def test_what_pynvml_does_oddly_shows(bound):
    bound("h100x8")
    one, other = handle(0), handle(1)
    with pytest.raises(ctypes.ArgumentError):
        pynvml.nvmlDeviceGetP2PStatus(one, other, pynvml.NVML_P2P_CAPS_INDEX_READ)
    assert pynvml.nvmlDeviceGetP2PStatus(one, other, 0) == 0
    assert pynvml.nvmlDeviceGetGspFirmwareVersion(one) == b"580.95.05"
    plain, rich = (
        pynvml.nvmlDeviceGetMemoryInfo(one),
        pynvml.nvmlDeviceGetMemoryInfo(one, version=pynvml.nvmlMemory_v2),
    )
    assert (plain.used - rich.used, rich.used) == (rich.reserved, 0)
    assert pynvml.nvmlDeviceGetHandleByUUID(pynvml.nvmlDeviceGetUUID(one))
    assert pynvml.nvmlDeviceGetHandleByPciBusId("00000000:1B:00.0")
    fields = pynvml.nvmlDeviceGetFieldValues(one, [230, 29])
    assert [field.nvmlReturn for field in fields] == [0, pynvml.NVML_ERROR_NOT_SUPPORTED]


def test_platform_names_are_cut_at_their_first_zero(bound):
    bound("gb200x4")
    told = pynvml.c_nvmlPlatformInfo_v2_t()
    pynvml.nvmlDeviceGetPlatformInfo(handle(), ctypes.byref(told))
    assert (told.ibGuid, told.chassisSerialNumber) == ("\x12", "CHASSIS0001")


def test_an_old_driver_knows_only_the_older_fabric_structure(bound):
    bound("h20x8")
    newer, older = pynvml.c_nvmlGpuFabricInfo_v3_t(), pynvml.c_nvmlGpuFabricInfo_v2_t()
    with pytest.raises(pynvml.NVMLError_ArgumentVersionMismatch):
        pynvml.nvmlDeviceGetGpuFabricInfoV(handle(), ctypes.byref(newer))
    pynvml.nvmlDeviceGetGpuFabricInfoV(handle(), ctypes.byref(older))
    assert (older.state, bytes(older.clusterUuid)) == (3, bytes(16))


def test_events_come_to_those_who_registered(bound):
    host = bound("h100x8")
    events = pynvml.nvmlEventSetCreate()
    for index in (0, 1):
        types = pynvml.nvmlDeviceGetSupportedEventTypes(handle(index))
        pynvml.nvmlDeviceRegisterEvents(handle(index), types, events)
    host.xid(5, 31)
    host.xid(1, 94, (2, 0))
    told = pynvml.nvmlEventSetWait(events, 1000)
    assert (told.eventType, told.eventData, told.gpuInstanceId) == (8, 94, 2)
    with pytest.raises(pynvml.NVMLError_Timeout):
        pynvml.nvmlEventSetWait(events, 1)
    host.lose(0)
    assert pynvml.nvmlEventSetWait(events, 1000).eventData == 79
    with pytest.raises(pynvml.NVMLError_GpuIsLost):
        pynvml.nvmlEventSetWait(events, 1000)
    pynvml.nvmlEventSetFree(events)


def test_a_lost_gpu_answers_nothing_and_the_others_everything(bound):
    host = bound("h100x8")
    one, other = handle(3), handle(4)
    host.lose(3)
    with pytest.raises(pynvml.NVMLError_GpuIsLost):
        pynvml.nvmlDeviceGetName(one)
    assert pynvml.nvmlDeviceGetName(other)
    host.find(3)
    assert pynvml.nvmlDeviceGetName(one)


def test_faults_strike_the_call_and_gpu_they_are_for_as_often_as_said(bound):
    host = bound("h100x8")
    host.fail("nvmlDeviceGetName", gpu=2, times=2)
    host.fail("nvmlDeviceGetSerial", Code.NO_PERMISSION)
    names = []
    for _ in range(3):
        try:
            names.append(pynvml.nvmlDeviceGetName(handle(2)))
        except pynvml.NVMLError as err:
            names.append(err.value)
    assert names == [999, 999, "NVIDIA H100 80GB HBM3"]
    assert pynvml.nvmlDeviceGetName(handle(1))
    with pytest.raises(pynvml.NVMLError_NoPermission):
        pynvml.nvmlDeviceGetSerial(handle(1))
    host.mend()
    assert pynvml.nvmlDeviceGetSerial(handle(1))


def test_a_replaced_driver_cuts_off_who_has_the_old_one(bound):
    host = bound("h100x8")
    host.replace_driver("590.44.01")
    with pytest.raises(pynvml.NVMLError_LibRmVersionMismatch):
        pynvml.nvmlSystemGetDriverVersion()
    assert (host.root / LIBRARY).readlink() == Path("libnvidia-ml.so.590.44.01")
    assert "590.44.01" in text(host.root / "proc/driver/nvidia/version")


def test_nvidia_smi_notes_how_it_is_called(fake_host):
    host = fake_host("t4x1")
    program = host.root / "usr/bin/nvidia-smi"
    subprocess.run([program, "compute-policy", "--set-timeslice", "2"], check=True)
    host.smi_fails("Failed to set timeslice: Insufficient Permissions\n")
    failed = subprocess.run([program, "-L"], check=False, capture_output=True, text=True)
    assert (failed.returncode, failed.stderr) == (6, "Failed to set timeslice: Insufficient Permissions\n")  # fmt: skip
    assert host.smi_calls == ("compute-policy --set-timeslice 2", "-L")


def test_the_stub_compiles_without_a_warning(fake_host):
    fake_host("t4x1")  # skips where there is no compiler
    assert library(
        "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"
    )


def test_without_a_compiler_the_remedy_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CompilerMissingError, match="install gcc"):
        library("-DNOBODY_ELSE_ASKED")


def test_a_machine_is_built_and_troubled_from_the_command_line(fake_host, tmp_path, capsys):
    folder = tmp_path / "machine"
    fake_host("t4x1")  # skips where there is no compiler
    assert main([]) == 0
    assert "h100x8           HGX H100: eight H100 behind NVSwitches" in capsys.readouterr().out
    assert main([str(folder), "--build", "l40sx4"]) == 0
    assert capsys.readouterr().out == f"NVIDIA_HOST_ROOT={folder}\n"
    assert main([str(folder), "--xid", "2:48", "--lose", "1"]) == 0
    assert capsys.readouterr().out.split()[1::2] == ["there", "lost", "there", "there"]
    host = FakeHost(folder)
    assert [(event.gpu, event.data) for event in host.state.events[:2]] == [(2, 48), (1, 79)]
    assert main([str(folder), "--reset", "1"]) == 0
    assert not host.gpus[1].state.lost
    for wrong in (["--lose", "4"], ["--xid", "4:1"], ["--xid", "one"], ["--build", "h900"]):
        assert main([str(folder), *wrong]) == 2
    assert main([str(tmp_path / "none"), "--reset", "0"]) == 2
    assert capsys.readouterr().err.count("pydra-nvidia-fake: ") == 5


def test_a_description_that_is_none_says_which_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"fake host h900: .*take one of a100-40x8, "):
        Description.load("h900")
    own = tmp_path / "own.toml"
    own.write_text('model = "t4"\ntopology = "one"\nbus = [1, 2]\n')
    with pytest.raises(ValueError, match="bus has 2 entries"):
        Description.load(own)
    own.write_text('model = "t5"\ntopology = "one"\nbus = [1]\n')
    with pytest.raises(ValueError, match="'t5'"):
        Description.load(own)
