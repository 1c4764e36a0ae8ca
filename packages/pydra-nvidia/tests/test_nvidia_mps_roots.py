"""Driver roots of each kind: `/`, a folder of the driver's files alone, and a system of its own that is entered."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mps_keeper_world import GIB, fake_host, keeper_world, tenant

from pydra_core.errors import HostError
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.mps import tool
from pydra_nvidia.mps.folders import GpuFolder

__all__ = ["fake_host", "keeper_world"]
MOUNTED = """
mount --rbind / "$1"
mount --bind "$2" "$1/run"
mount --bind "$3" "$1$4"
shift 4
exec "$@"
"""


def by_root():
    return os.geteuid() == 0 and shutil.which("unshare") and tool.can_mount()


def seen_by(pid):
    """The root of a process, and what is mounted for it."""
    process = Path(f"/proc/{pid}")
    return (process / "root").readlink(), (process / "mountinfo").read_text()


@pytest.mark.skipif(not by_root(), reason="mounts and chroot are root's")
async def test_a_root_that_is_a_system_is_entered_and_shows_the_folders_everybody_has(
    keeper_world, tmp_path
):
    world = keeper_world("595.71.05")
    (world.host.root / "opengl-driver").mkdir()
    (world.host.root / "opengl-driver/bin").symlink_to("/run/usr/bin")
    system, elsewhere = tmp_path / "system", tmp_path / "elsewhere"
    system.mkdir()
    elsewhere.mkdir()
    mounts = ("unshare", "-m", "--propagation", "private", "sh", "-ec", MOUNTED, "sh")
    places = (str(system), str(world.host.root), str(elsewhere), str(world.folder))
    await world.start(
        within=(*mounts, *places), NVIDIA_HOST_ROOT="/", NVIDIA_DRIVER_ROOT_MOUNT=str(system)
    )
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=64, memory=GIB))
    assert one.mounts[1] == (f"{world.own}/shm", "/dev/shm")
    state = await world.state()
    root, shown = seen_by(state.pid)
    assert root == system
    assert f"{world.own} {world.own} " in shown
    assert f"{world.own}/shm /dev/shm " in shown
    assert (await world.sees(one.env))["sms"] == 64
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty


async def test_a_root_of_files_alone_is_not_entered_and_its_libraries_are_found(fake_host):
    host = fake_host("h100x8")
    found = tool.find(Root(host.root, "/opt/nvidia"), host.root, private=False)
    assert not found.entered
    order = found.front_end(GpuFolder(Path("/run/pydra/mps/GPU-1"), "GPU-1"), ())
    assert order.argv == (str(host.root / "usr/bin/nvidia-cuda-mps-control"),)
    assert str(host.root / "usr/lib/x86_64-linux-gnu") in order.env["LD_LIBRARY_PATH"].split(":")
    assert order.env["CUDA_MPS_PIPE_DIRECTORY"] == "/run/pydra/mps/GPU-1/pipe"


async def test_a_root_that_does_not_show_the_folder_says_so_where_nothing_can_be_mounted(
    fake_host, tmp_path
):
    host = fake_host("h100x8")
    (host.root / "lib64").mkdir()
    (host.root / "lib64/ld-linux-x86-64.so.2").write_bytes(b"")
    found = tool.find(Root(host.root), host.root, private=False)
    assert found.entered
    folder = GpuFolder(tmp_path, "GPU-1")
    with pytest.raises(HostError, match=r"does not show the folder.*run the keeper privileged"):
        found.front_end(folder, ())
    assert found.shm(folder) == Path("/dev/shm")


async def test_the_version_of_the_driver_and_the_file_of_the_tool_are_what_probing_rests_on(
    fake_host,
):
    host = fake_host("h100x8")
    first = tool.find(Root(host.root), host.root, private=False).identity
    assert tool.find(Root(host.root), host.root, private=True).identity == first
    host.mps.tool.write_text(host.mps.tool.read_text() + "\n")
    second = tool.find(Root(host.root), host.root, private=False).identity
    (host.root / "sys/module/nvidia/version").write_text("999.1\n")
    third = tool.find(Root(host.root), host.root, private=False).identity
    assert len({first, second, third}) == 3
