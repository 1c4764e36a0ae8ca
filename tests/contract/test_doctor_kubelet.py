"""`doctor` on nodes whose kubelet directories or sockets are not as a driver needs them."""

from __future__ import annotations

import socket

import pytest
from doctor_node import DRIVER, WITHOUT_RIGHTS, node

__all__ = ["node"]


async def test_a_missing_kubelet_root_names_the_one_that_is_there(node):
    (node.host / "var/lib/k0s/kubelet").mkdir(parents=True)
    done = await node.doctor(KUBELET_ROOT=str(node.root / "no"))
    assert done.says("kubelet: root", "finding", "/no does not exist")
    assert done.fix("kubelet: root").startswith("set KUBELET_ROOT=/var/lib/k0s/kubelet (found")
    assert done.document["hint"] == ""


async def test_without_any_kubelet_root_the_fix_says_where_to_run(node):
    done = await node.doctor(KUBELET_ROOT=str(node.root / "no"))
    assert "with the kubelet's --root-dir mounted by hostPath" in done.fix("kubelet: root")


async def test_missing_and_open_kubelet_directories_are_findings(node):
    (node.kubelet / "plugins").rmdir()
    (node.kubelet / "plugins_registry").chmod(0o777)
    done = await node.doctor()
    registry = node.kubelet / "plugins_registry"
    assert done.fix("kubelet: plugins_registry") == f"chmod o-w {registry}"
    assert "set KUBELET_ROOT to its --root-dir" in done.fix("kubelet: plugins")
    assert done.says("kubelet: pod-resources", "skipped", "optional")


async def test_directories_that_cannot_be_written_are_findings(node):
    launcher = node.root / "launch.py"
    launcher.write_text(WITHOUT_RIGHTS)
    node.cdi.chmod(0o555)
    (node.kubelet / "plugins_registry").chmod(0o555)
    done = await node.doctor(before=[str(launcher)])
    assert done.says("cdi: directory", "finding", "mode 0555")
    assert done.fix("cdi: directory") == f"run the driver as root, or as the owner of {node.cdi}"
    assert done.says("kubelet: plugins_registry", "finding", "Permission denied")


async def test_whoever_may_not_look_is_told_to_be_root(node):
    launcher = node.root / "launch.py"
    launcher.write_text(WITHOUT_RIGHTS)
    (node.kubelet).chmod(0o000)
    done = await node.doctor(before=[str(launcher)])
    node.kubelet.chmod(0o755)
    assert done.says("kubelet", "finding", "this process may not look: Permission denied")
    assert done.fix("kubelet") == done.fix("socket") == "run this as root, as the driver runs"


async def test_paths_that_do_not_fit_a_socket_are_counted_in_bytes(node):
    long = node.root / ("k" * 80)
    (long / "plugins_registry").mkdir(parents=True)
    done = await node.doctor(KUBELET_ROOT=str(long))
    seen = done.row("socket: length")["seen"]
    length, path = int(seen.partition(" ")[0]), seen.partition(": ")[2]
    assert length == len(path) > 107
    assert f"at least {length - 107} bytes shorter" in done.fix("socket: length")


async def test_the_endpoint_the_kubelet_is_told_must_fit_too(node):
    done = await node.doctor(KUBELET_SOCKET_PATH="/" + "e" * 120)
    assert done.says("socket: endpoint length", "finding", "121 of 107 bytes")
    assert (
        done.fix("socket: endpoint length")
        == "set KUBELET_SOCKET_PATH to a path that is 14 bytes shorter"
    )


def dead(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


async def test_sockets_of_dead_instances_are_told_apart(node):
    stray = node.kubelet / "plugins_registry" / f"{DRIVER}-0b8c-reg.sock"
    dead(node.data / "dra.sock")
    dead(stray)
    done = await node.doctor()
    assert done.says(
        "socket: instances", "ok", "left by a dead instance; the next start removes it"
    )
    assert done.fix("socket: strays") == f"rm {stray}"


@pytest.mark.parametrize(("live", "gone"), [("dra", "reg"), ("reg", "dra")])
async def test_half_an_instance_is_a_finding(node, live, gone):
    paths = {
        "dra": node.data / "dra.sock",
        "reg": node.kubelet / "plugins_registry" / f"{DRIVER}-reg.sock",
    }
    node.data.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(paths[live]))
        server.listen()
        done = await node.doctor()
    assert done.says(
        "socket: instances", "finding", f"{paths[live]} answers but {paths[gone]} does not"
    )
    assert done.fix("socket: instances") == "restart the driver (delete its pod)"


async def test_a_file_in_the_way_of_a_socket_is_to_be_moved(node):
    node.data.mkdir()
    path = node.data / "dra.sock"
    path.write_text("")
    done = await node.doctor()
    assert done.fix("socket: instances") == f"move it away: mv {path} {path}.old"
