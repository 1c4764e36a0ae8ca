"""Time slices as NVIDIA's own driver takes them: set by `nvidia-smi`, undone whatever happens, refused with the reason."""

from __future__ import annotations

import pytest
from nvidia_world import API, error, nvidia, slices_of

__all__ = ["nvidia"]

KILLS = """#!/bin/sh
echo "$*" >> "$(readlink -f "$0").calls"
kill -9 $PPID
"""


def called(host, gpu, number):
    return f"compute-policy -i {host.gpus[gpu].uuid} --set-timeslice {number}"


async def test_time_slices_are_set_and_undone_for_the_claims_that_ask_for_them(nvidia):
    host = nvidia.build("h100x8")
    host.gpus[0].state.compute_mode = 3
    driver = await nvidia.serve()
    plain = await nvidia.gpus("gpu-2")
    turns = await nvidia.gpus("gpu-0", "gpu-1", parameters=slices_of("Long"))
    assert await error(driver.prepare, plain) == ""
    assert await error(driver.prepare, turns) == ""
    assert await error(driver.prepare, turns) == ""
    assert host.smi_calls == (called(host, 0, 3), called(host, 1, 3))
    assert host.gpus[0].state.compute_mode == 0
    watcher = await nvidia.gpus(admin=["gpu-0"])
    assert await error(driver.prepare, watcher) == ""
    assert await error(driver.unprepare, watcher) == ""
    meddler = await nvidia.gpus("gpu-3", admin=["gpu-0"], parameters=slices_of("Short"))
    assert "admin access changes nothing" in await error(driver.prepare, meddler)
    assert await error(driver.unprepare, meddler) == ""
    assert await error(driver.unprepare, plain) == ""
    assert (
        len(host.smi_calls) == 2
    )  # a prepare that was refused before it began has nothing to undo
    assert await error(driver.unprepare, turns) == ""
    assert host.smi_calls[2:] == (called(host, 0, 0), called(host, 1, 0))
    assert host.gpus[0].state.compute_mode == 3


async def test_time_slices_of_a_driver_that_was_killed_before_it_wrote_them_down_are_undone(nvidia):
    host = nvidia.build("t4x1")
    smi = host.driver_root / "usr/bin/nvidia-smi"
    harmless = smi.read_text()
    smi.write_text(KILLS)
    driver = await nvidia.serve()
    claim = await nvidia.gpus("gpu-0", parameters=slices_of("Medium"))
    with pytest.raises(Exception, match="UNAVAILABLE"):
        await driver.prepare(claim)
    assert await driver.ended() == -9
    assert host.smi_calls == (called(host, 0, 2),)
    smi.write_text(harmless)
    again = await nvidia.serve()
    other = await nvidia.gpus("gpu-0")
    assert await error(again.prepare, other) == ""
    assert host.smi_calls[1:] == (called(host, 0, 0),)
    assert await error(again.unprepare, claim) == ""


async def test_a_prepare_that_nvidia_smi_refuses_says_its_words_and_is_undone(nvidia):
    host = nvidia.build("h100x8")
    host.smi_fails("Insufficient Permissions")
    host.gpus[0].state.compute_mode = 3
    driver = await nvidia.serve()
    claim = await nvidia.gpus("gpu-0", "gpu-1", parameters=slices_of("Short"))
    said = await error(driver.prepare, claim)
    assert f"GPU {host.gpus[0].uuid}: nvidia-smi compute-policy" in said
    assert "exited with 6: Insufficient Permissions" in said
    assert host.gpus[0].state.compute_mode == 3
    assert "Insufficient Permissions" in await error(driver.unprepare, claim)
    host.smi_fails(None)
    before = len(host.smi_calls)
    assert await error(driver.unprepare, claim) == ""
    assert host.smi_calls[before:] == (called(host, 0, 0), called(host, 1, 0))
    assert await error(driver.prepare, await nvidia.gpus("gpu-0")) == ""


async def test_what_a_refused_prepare_had_changed_on_other_gpus_is_set_back(nvidia):
    host = nvidia.build("h100x8")
    host.gpus[0].state.compute_mode = 3
    smi = host.driver_root / "usr/bin/nvidia-smi"
    harmless = smi.read_text()
    refuses = f'case "$*" in *{host.gpus[1].uuid}*) echo no; exit 6;; esac'
    smi.write_text(harmless.replace("\n", f"\n{refuses}\n", 1))
    driver = await nvidia.serve()
    claim = await nvidia.gpus("gpu-0", "gpu-1", parameters=slices_of("Short"))
    assert "exited with 6: no" in await error(driver.prepare, claim)
    assert host.gpus[0].state.compute_mode == 0
    smi.write_text(harmless)
    assert await error(driver.unprepare, claim) == ""
    assert host.gpus[0].state.compute_mode == 3


async def test_a_lost_gpu_holds_no_pod_back(nvidia):
    host = nvidia.build("h100x8")
    driver = await nvidia.serve()
    claim = await nvidia.gpus("gpu-0", parameters=slices_of("Short"))
    assert await error(driver.prepare, claim) == ""
    host.lose(0)
    host.smi_fails("Unable to determine the device handle")
    assert await error(driver.unprepare, claim) == ""
    assert "a GPU that is gone is not set back" in driver.logged()


async def test_without_nvidia_smi_an_interrupted_prepare_has_nothing_to_undo(nvidia):
    host = nvidia.build("t4x1")
    (host.driver_root / "usr/bin/nvidia-smi").unlink()
    driver = await nvidia.serve()
    claim = await nvidia.gpus("gpu-0", parameters=slices_of("Short"))
    assert "has none; install the driver's utilities" in await error(driver.prepare, claim)
    assert await error(driver.unprepare, claim) == ""


MPS = {"sharing": {"strategy": "MPS", "mpsConfig": {"defaultActiveThreadPercentage": 50}}}


async def test_what_this_driver_does_not_do_is_refused_with_the_reason(nvidia):
    host = nvidia.build("mixed-mig")
    driver = await nvidia.serve()
    gpu, mig = "gpu-0", "gpu-1-mig-1g10gb-19-0"
    for device, parameters, admin, says in (
        (
            gpu,
            {"kind": "GpuConfig", **MPS},
            False,
            "sharing.strategy: no MPS daemons are run on this node",
        ),
        (gpu, {"kind": "VfioDeviceConfig"}, False, "kind: this driver hands no GPUs to virtual"),
        (gpu, {"kind": "MigDeviceConfig"}, False, "kind: it is a whole GPU; take GpuConfig"),
        (mig, slices_of("Long"), False, "kind: it is a MIG device; take MigDeviceConfig"),
        (gpu, slices_of("Long"), True, "admin access changes nothing of a device others use"),
        (gpu, {"kind": "GpuConfig", "sharing": {"strategy": "Luck"}}, False, "sharing.strategy"),
        (gpu, slices_of("Forever"), False, "interval"),
    ):
        devices = {"admin": [device]} if admin else {}
        claim = await nvidia.gpus(
            *([] if admin else [device]), parameters={"apiVersion": API, **parameters}, **devices
        )
        said = await error(driver.prepare, claim)
        assert says in said, (parameters, said)
        assert await error(driver.unprepare, claim) == ""
    fine = {"apiVersion": API, "kind": "MigDeviceConfig", "sharing": {"strategy": "TimeSlicing"}}
    assert await error(driver.prepare, await nvidia.gpus(mig, parameters=fine)) == ""
    assert not any(call.endswith((" 1", " 2", " 3")) for call in host.smi_calls)


@pytest.mark.parametrize(
    ("seen", "environ"),
    [
        ("/run/nvidia/driver", {}),
        (
            "/driver-root",
            {
                "NVIDIA_DRIVER_ROOT": "/run/nvidia/driver",
                "NVIDIA_DRIVER_ROOT_MOUNT": "/driver-root",
            },
        ),
    ],
)
async def test_a_driver_in_a_folder_of_its_own_is_found_used_and_mounted_from_there(
    nvidia, seen, environ
):
    host = nvidia.build("h100x8", driver_root=seen)
    driver = await nvidia.serve(**environ)
    claim = await nvidia.gpus("gpu-0", parameters=slices_of("Short"))
    assert await error(driver.prepare, claim) == ""
    mounts = {m["containerPath"]: m["hostPath"] for m in nvidia.spec(claim)["gpu-0"]["mounts"]}
    assert mounts["/usr/bin/nvidia-smi"] == "/run/nvidia/driver/usr/bin/nvidia-smi"
    assert host.smi_calls == (called(host, 0, 1),)
