"""The driver's files in containers, found on machines built in a folder."""

from __future__ import annotations

import pytest

from pydra_core import DeviceGoneError, HostError
from pydra_nvidia.cdi.edits import OWN_FOLDER, device_edits, driver_edits
from pydra_nvidia.cdi.files import find
from pydra_nvidia.cdi.nodes import Nodes
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.condition import Condition
from pydra_nvidia.gpus import Gpu, MigDevice
from pydra_nvidia_fake import FakeHost

VERSION = "580.95.05"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@pytest.fixture
def machine(tmp_path):
    return FakeHost.build("h100x8", tmp_path / "host")


@pytest.fixture
def contained(tmp_path):
    """A machine whose driver is installed by a container, as the GPU operator does."""
    return FakeHost.build("h100x8", tmp_path / "host", driver_root="/run/nvidia/driver")


def roots(machine, path="/"):
    return Root(machine.driver_root, path), Root(machine.root)


def mounts(edits):
    return {m.container_path: m.host_path for m in edits.mounts}


def test_without_hooks_each_name_of_a_library_is_a_mount_where_cudas_images_look(machine):
    root, host = roots(machine)
    edits = driver_edits(find(root, VERSION, host), host, "")
    found = mounts(edits)
    for name in ("libcuda.so", "libcuda.so.1", f"libcuda.so.{VERSION}"):
        assert found[f"{OWN_FOLDER}/{name}"] == f"/{LIBRARIES}/libcuda.so.{VERSION}"
    assert found[f"{OWN_FOLDER}/vdpau/libvdpau_nvidia.so.1"].endswith(
        f"/vdpau/libvdpau_nvidia.so.{VERSION}"
    )
    assert f"LD_LIBRARY_PATH={OWN_FOLDER}" in edits.env
    assert edits.hooks == ()


def test_with_hooks_libraries_keep_their_place_and_links_are_made_in_the_container(machine):
    root, host = roots(machine)
    edits = driver_edits(find(root, VERSION, host), host, "/usr/bin/nvidia-cdi-hook")
    found = mounts(edits)
    assert found[f"/{LIBRARIES}/libcuda.so.{VERSION}"] == f"/{LIBRARIES}/libcuda.so.{VERSION}"
    assert f"/{LIBRARIES}/libcuda.so.1" not in found
    links, cache = edits.hooks
    assert links.args[1:] == ("create-symlinks", "--link", f"libcuda.so.1::/{LIBRARIES}/libcuda.so")
    assert cache.args == ("nvidia-cdi-hook", "update-ldcache", "--folder", f"/{LIBRARIES}", "--folder", f"/{LIBRARIES}/vdpau")  # fmt: skip
    assert not any(e.startswith("LD_LIBRARY_PATH") for e in edits.env)


def test_programs_firmware_configuration_and_sockets_go_with_them_read_only(machine):
    root, host = roots(machine)
    edits = driver_edits(find(root, VERSION, host), host, "")
    found = {m.container_path: m.options for m in edits.mounts}
    for path in (
        "/usr/bin/nvidia-smi",
        f"/lib/firmware/nvidia/{VERSION}/gsp_tu10x.bin",
        "/usr/share/nvidia/nvoptix.bin",
    ):
        assert "ro" in found[path]
    assert "noexec" in found["/run/nvidia-persistenced/socket"]
    assert "NVIDIA_VISIBLE_DEVICES=void" in edits.env


def test_a_driver_in_a_container_is_mounted_from_there_and_its_sockets_from_the_host(contained):
    root, host = roots(contained, "/run/nvidia/driver")
    found = mounts(driver_edits(find(root, VERSION, host), host, ""))
    assert (
        found[f"{OWN_FOLDER}/libcuda.so.1"]
        == f"/run/nvidia/driver/{LIBRARIES}/libcuda.so.{VERSION}"
    )
    assert found["/usr/bin/nvidia-smi"] == "/run/nvidia/driver/usr/bin/nvidia-smi"
    assert found["/run/nvidia-persistenced/socket"] == "/run/nvidia-persistenced/socket"


def test_libraries_of_another_version_are_no_help(machine):
    root, host = roots(machine)
    with pytest.raises(HostError, match=r"no libcuda\.so\.570\.1 below /; .*NVIDIA_DRIVER_ROOT"):
        find(root, "570.1", host)


def test_links_in_a_circle_are_no_names(machine):
    folder = machine.root / LIBRARIES
    (folder / "libone.so").symlink_to("libtwo.so")
    (folder / "libtwo.so").symlink_to("libone.so")
    root, host = roots(machine)
    assert not any(
        "libone" in path for path in mounts(driver_edits(find(root, VERSION, host), host, ""))
    )


GPU = Gpu(index=0, minor=0, uuid="GPU-0", condition=Condition(index=0))


def test_a_gpus_nodes_are_looked_at_when_they_are_asked_for(machine):
    nodes = Nodes(machine.root, Root(machine.root))
    names = [n.path for n in (*nodes.control(), *nodes.gpu(GPU))]
    assert names[0] == "/dev/nvidiactl"
    assert "/dev/nvidia0" in names
    (machine.root / "dev/nvidia0").unlink()
    with pytest.raises(
        DeviceGoneError, match="device node /dev/nvidia0 is not there; load the kernel module"
    ):
        nodes.gpu(GPU)


def test_modules_that_are_not_loaded_are_done_without_but_not_the_control_node(machine):
    nodes = Nodes(machine.root, Root(machine.root))
    (machine.root / "dev/nvidia-modeset").unlink()
    assert "/dev/nvidia-modeset" not in [n.path for n in nodes.control()]
    (machine.root / "dev/nvidiactl").unlink()
    with pytest.raises(DeviceGoneError, match="/dev/nvidiactl"):
        nodes.control()


def test_nodes_of_a_driver_in_a_container_are_named_by_their_path_on_the_host(contained):
    nodes = Nodes(contained.root, Root(contained.root, "/run/nvidia/driver"))
    assert nodes.gpu(GPU)[0].host_path == "/run/nvidia/driver/dev/nvidia0"


def test_a_mig_devices_capabilities_have_the_kernels_numbers_and_vanish_with_it(tmp_path):
    machine = FakeHost.build("mixed-mig", tmp_path / "host")
    number, gpu = next((n, g) for n, g in enumerate(machine.gpus) if g.instances)
    instance = gpu.instances[0]
    mig = MigDevice(
        index=0, gpu_instance=instance.id, compute_instance=next(iter(instance.computes))
    )
    whole = Gpu(index=number, minor=gpu.minor, uuid=gpu.uuid, condition=Condition(index=number))
    nodes = Nodes(machine.root, Root(machine.root))
    own, access, compute = nodes.mig(whole, mig)
    first = 3 + 135 * gpu.minor + 9 * instance.id
    assert own.path == f"/dev/nvidia{gpu.minor}"
    assert [(n.path, n.type, n.minor) for n in (access, compute)] == [
        (f"/dev/nvidia-caps/nvidia-cap{m}", "c", m)
        for m in (first, first + 1 + mig.compute_instance)
    ]
    assert access.major == 235
    gone = MigDevice(index=0, gpu_instance=14, compute_instance=0)
    with pytest.raises(DeviceGoneError, match=rf"MIG instance gpu{gpu.minor}/gi14 was destroyed"):
        nodes.mig(whole, gone)


def test_a_device_adds_its_nodes_to_what_all_have(machine):
    root, host = roots(machine)
    common = driver_edits(find(root, VERSION, host), host, "")
    nodes = Nodes(machine.root, Root(machine.root)).gpu(GPU)
    edits = device_edits(common, nodes, ["CUDA=1"])
    assert edits.mounts == common.mounts
    assert [n.path for n in edits.device_nodes] == [n.path for n in nodes]
    assert edits.env == (*common.env, "CUDA=1")
