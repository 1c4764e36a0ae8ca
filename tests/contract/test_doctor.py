"""`doctor` in a driver's own process: the whole table, its forms and its exit codes."""

from __future__ import annotations

import asyncio
import re

import pytest
import yaml
from doctor_node import NODE, answering, bound_to, cluster, node

__all__ = ["node"]


def everything(root):
    """All paths below a folder with what tells whether somebody touched them."""
    stats = ((p, p.lstat()) for p in sorted(root.rglob("*")))
    return {str(p): (s.st_ino, s.st_size, s.st_mode, s.st_mtime_ns) for p, s in stats}


async def test_a_node_in_order_has_no_finding_and_is_left_as_it_was(node):
    async with answering(**cluster()) as url:
        node.kubeconfig(url, {"token": bound_to(NODE)})
        before = everything(node.root)
        done = await node.doctor()
    assert (done.code, done.findings, done.err) == (0, [], "")
    assert everything(node.root) == before
    assert done.says("socket: DRA length", "ok", f"of 107 bytes: {node.data}/dra.sock")
    assert done.says("rbac: update resourceslices", "ok", "allowed; for publishing slices")
    assert done.says(
        "runtime: CDI version", "ok", "reads specs up to 1.1.0, this driver writes 0.5.0"
    )
    assert done.says("node: kubelet", "ok", "v1.36.2")
    assert done.says("driver: discover", "ok", "4 devices")


async def test_the_running_driver_and_the_testbeds_api_server_are_well(world, node):
    await (await world.start()).registered()
    environ = {
        "KUBECONFIG": str(world.kubeconfig),
        "KUBELET_ROOT": str(world.root / "kubelet"),
        "CDI_DIR": str(world.cdi),
    }
    world.cdi.mkdir()
    node.containerd_config(
        f'[plugins."io.containerd.cri.v1.runtime"]\ncdi_spec_dirs = ["{world.cdi}"]\n'
    )
    done = await node.doctor(**environ)
    assert (done.code, done.findings) == (0, [])
    assert done.says("socket: instances", "ok", "a driver of this name serves here")
    assert done.says("rbac: get resourceclaims", "ok", "allowed")
    assert done.says("api: resource.k8s.io/v1", "ok", "served: v1")
    assert done.says("node: name", "ok", f"node {NODE} exists")
    assert done.says("journal", "ok", "format")


async def test_the_table_shows_each_check_and_below_it_each_fix_uncut(node):
    done = await node.doctor(form="table", COLUMNS="60")
    assert done.code == 1
    assert done.out.startswith("CHECK ")
    assert "1. api-access: api: access: API access: not in a pod" in done.out
    assert "   set --kubeconfig or KUBECONFIG\n" in done.out
    assert ", 1 finding, 1 skipped\n" in done.out
    assert "This machine is no Kubernetes node" not in done.out


async def test_yaml_says_what_json_says(node):
    as_yaml, as_json = await asyncio.gather(node.doctor(form="yaml"), node.doctor())
    documents = (yaml.safe_load(as_yaml.out), as_json.document)
    in_yaml, in_json = (re.sub(r"\d+ MiB free", "free", repr(d)) for d in documents)  # others write
    assert in_yaml == in_json


async def test_a_bare_laptop_is_told_so_and_accepted_on_request(node):
    nowhere = {"KUBELET_ROOT": str(node.root / "no"), "NODE_NAME": ""}
    refused, accepted = await asyncio.gather(
        node.doctor(form="table", COLUMNS="200", **nowhere),
        node.doctor("--laptop", form="table", COLUMNS="200", **nowhere),
    )
    sentence = (
        "This machine is no Kubernetes node: there is no kubelet on it and no API access is configured."
        " Try the driver here with `pydra demo`, which needs neither.\n"
    )
    assert (refused.code, accepted.code) == (1, 0)
    assert refused.out.endswith(sentence)
    assert accepted.out.endswith(sentence)
    assert "0 findings" in accepted.out


async def test_on_a_node_laptop_excuses_nothing(node):
    done = await node.doctor("--laptop")
    assert done.code == 1
    assert [r["check"] for r in done.findings] == ["api: access"]


@pytest.mark.parametrize(
    "arguments", [("--timeout", "soon"), ("--discover-interval", "0"), ("--nodes", "x")]
)
async def test_a_wrong_command_line_exits_2(node, arguments):
    done = await node.doctor(*arguments)
    assert (done.code, done.out) == (2, "")
