"""`doctor` in a driver's own process, on nodes that have one thing wrong each."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import re
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from doctor_node import (
    DRIVER,
    NODE,
    NOT_PERMITTED,
    ON_ANOTHER_FILE_SYSTEM,
    WITHOUT_RIGHTS,
    DoctorNode,
    answering,
    bound_to,
    cluster,
    jwt,
    node_object,
)

from pydra_core._state import frames, records


@pytest.fixture
def node():
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield DoctorNode(Path(folder))


def everything(root):
    """All paths below a folder with what tells whether somebody touched them."""
    stats = ((p, p.lstat()) for p in sorted(root.rglob("*")))
    return {str(p): (s.st_ino, s.st_size, s.st_mode, s.st_mtime_ns) for p, s in stats}


# ---- the whole


async def test_a_node_in_order_has_no_finding_and_is_left_as_it_was(node):
    async with answering(**cluster()) as url:
        node.kubeconfig(url, {"token": bound_to(NODE)})
        before = everything(node.root)
        done = await node.doctor()
    assert (done.code, done.findings, done.err) == (0, [], "")
    assert everything(node.root) == before
    assert done.says("socket: DRA length", "ok", f"of 107 bytes: {node.data}/dra.sock")
    assert done.says("rbac: patch resourceslices", "ok", "allowed")
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
    assert "1. api: access: API access: not in a pod" in done.out
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


# ---- kubelet and sockets


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


# ---- journal


def prepared(uid="0b8c", spec=records.NO_SPEC):
    record = records.Prepared(uid=uid, namespace="ns", name="c", uses=(), answers=(), spec=spec)
    return frames.frame(records.encode(record))


async def with_journal(node, data):
    node.data.mkdir()
    (node.data / "journal").write_bytes(data)
    done = await node.doctor()
    assert (node.data / "journal").read_bytes() == data
    assert [p.name for p in node.data.iterdir()] == ["journal"]
    return done


async def test_a_journal_is_read_and_counted(node):
    done = await with_journal(node, frames.header(records.FORMAT) + prepared("a") + prepared("b"))
    assert done.says("journal", "ok", "2 prepared claims")


async def test_the_torn_end_of_a_journal_is_no_finding(node):
    done = await with_journal(
        node, frames.header(records.FORMAT) + prepared("a") + prepared("b")[:-3]
    )
    assert done.says("journal", "ok", "1 prepared claims, ")
    assert "half-written record, which the next start drops" in done.row("journal")["seen"]


async def test_a_flipped_bit_in_the_journal_is_found_and_its_place_named(node):
    head = frames.header(records.FORMAT)
    data = bytearray(head + prepared("a") + prepared("b"))
    data[len(head) + 20] ^= 1
    done = await with_journal(node, bytes(data))
    assert done.says("journal", "finding", f"the first at byte {len(head)}")
    assert done.fix("journal").startswith(
        "restart the driver (delete its pod): it keeps every record"
    )


async def test_a_journal_of_a_newer_version_is_found(node):
    done = await with_journal(node, frames.header(records.FORMAT + 1))
    assert done.says(
        "journal", "finding", f"format {records.FORMAT + 1}, written by a newer driver"
    )
    assert done.fix("journal").startswith(
        "install that version of the driver again, or drain the node"
    )


async def test_a_file_that_is_no_journal_is_found(node):
    done = await with_journal(node, b"something else entirely")
    assert done.says("journal", "finding", "no journal of this framework (23 bytes")


async def test_a_journal_that_was_set_aside_is_not_forgotten(node):
    node.data.mkdir()
    aside = node.data / "journal.damaged-812-16"
    aside.write_bytes(b"x")
    done = await node.doctor()
    assert done.fix("journal: set aside").endswith(f"rm {aside}")


async def test_a_journal_that_cannot_be_read_is_found(node):
    (node.data / "journal").mkdir(parents=True)
    done = await node.doctor()
    assert done.says("journal", "finding", "cannot be read: Is a directory")


# ---- CDI

SPEC = {
    "cdiVersion": "0.5.0",
    "kind": f"{DRIVER}/claim",
    "devices": [{"name": "a", "containerEdits": {"env": ["A=1"]}}],
}


async def test_a_missing_cdi_directory_says_what_to_mount(node):
    node.cdi.rmdir()
    done = await node.doctor()
    assert done.fix("cdi: directory").startswith(
        f"on the node: mkdir -p -m 0755 {node.cdi}; in a pod: mount"
    )


MOUNTS = {
    "a read-only CDI directory": (
        ("tmpfs", "cdi", True, ""),
        "cdi: directory",
        "tmpfs (empty after a reboot; the driver writes its files again): Read-only file system",
        "mount it read-write (no `readOnly: true` on this volumeMount)",
    ),
    "a read-only journal": (
        ("tmpfs", "kubelet/plugins", True, ""),
        "journal: space",
        "the file system is read-only",
        "mount {root}/kubelet/plugins read-write (no `readOnly: true` on this volumeMount)",
    ),
    "a full journal": (
        ("tmpfs", "kubelet/plugins", False, "size=1m"),
        "journal: space",
        "1 MiB free for",
        "free at least 16 MiB (`df -h {root}/kubelet/plugins`)",
    ),
    "a CDI directory inside the pod": (
        ("overlay", "cdi", False, "lowerdir=host:lower,upperdir=upper,workdir=work"),
        "cdi: directory",
        "the pod's own file system, no runtime sees it",
        "mount {root}/cdi into the pod by hostPath",
    ),
}


@pytest.mark.parametrize(("mount", "check", "seen", "fix"), MOUNTS.values(), ids=MOUNTS.keys())
async def test_file_systems_that_will_not_do_are_found(node, mount, check, seen, fix):
    launcher = node.root / "launch.py"
    launcher.write_text(ON_ANOTHER_FILE_SYSTEM)
    for folder in ("lower", "upper", "work"):
        (node.root / folder).mkdir()
    done = await node.doctor(
        before=[str(launcher), str(node.root), json.dumps(mount)],
        KUBERNETES_SERVICE_HOST="127.0.0.1",
        KUBECONFIG=str(node.root / "none"),
    )
    if done.code == NOT_PERMITTED:
        pytest.skip(f"this machine lets nobody mount: {done.err}")
    assert done.says(check, "finding", seen)
    assert done.fix(check) == fix.format(root=node.root)


async def test_bad_spec_files_say_whose_they_are(node):
    (node.cdi / f"{DRIVER}-claim_u1.json").write_text("{")
    other = node.cdi / "vendor.yaml"
    other.write_text("cdiVersion: 9.9.9\nkind: vendor.example/x\ndevices: []\n")
    done = await node.doctor()
    assert done.fix("cdi: own files").startswith("restart the driver (delete its pod)")
    assert done.fix("cdi: others' files").endswith(f"mv {other} {other}.bad")


async def test_devices_that_two_files_define_are_found(node):
    first, second = node.cdi / "a.json", node.cdi / "b.json"
    for file in (first, second):
        file.write_text(json.dumps(SPEC))
    done = await node.doctor()
    assert done.says(
        "cdi: conflicts", "finding", f"{DRIVER}/claim=a is defined by {first}, {second}"
    )
    assert done.fix("cdi: conflicts") == f"keep one of them: rm {second}"


async def test_a_prepared_claim_without_its_spec_file_is_found(node):
    spec = records.NO_SPEC.__class__(json.dumps(SPEC).encode())
    done = await with_journal(node, frames.header(records.FORMAT) + prepared("u1", spec))
    assert done.says(
        "cdi: own files", "finding", f"{DRIVER}-claim_u1.json of prepared claim ns/c is not there"
    )


# ---- runtime

SWITCH = """in /etc/containerd/config.toml:
[plugins."io.containerd.grpc.v1.cri"]
  enable_cdi = true
then: systemctl restart containerd"""


async def test_containerd_1_7_has_cdi_off_until_it_is_switched_on(node):
    node.binary("containerd", "echo containerd github.com/containerd/containerd v1.7.13 7c3aca7")
    node.containerd_config(f'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n{node.reads_ours}')
    off = await node.doctor()
    assert off.says("runtime: CDI", "finding", "containerd 1.7.13")
    assert off.fix("runtime: CDI") == SWITCH
    node.containerd_config(
        'imports = ["conf.d/*.toml"]\nversion = 2\n[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = false\n'
    )
    drop_in = node.host / "etc/containerd/conf.d/cdi.toml"
    drop_in.parent.mkdir()
    drop_in.write_text(
        f'[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = true\n{node.reads_ours}'
    )
    on = await node.doctor()
    assert on.says("runtime: CDI", "ok", "on")
    assert on.says("runtime: CDI directories", "ok", str(node.cdi))


async def test_a_runtime_that_reads_other_directories_is_told_ours(node):
    node.binary("containerd", "echo containerd containerd.io 2.1.4 abc")
    node.containerd_config("version = 3\n")
    done = await node.doctor()
    assert done.says("runtime: CDI directories", "finding", f"the driver writes {node.cdi}")
    assert done.fix("runtime: CDI directories") == (
        "set CDI_DIR=/var/run/cdi, or in /etc/containerd/config.toml:\n"
        '[plugins."io.containerd.cri.v1.runtime"]\n'
        f'  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi", "{node.cdi}"]\n'
        "then: systemctl restart containerd"
    )


async def test_a_spec_newer_than_the_runtimes_library_is_found(node):
    node.binary("containerd", "echo containerd containerd.io 2.1.4 abc")
    net = {"netDevices": [{"hostInterfaceName": "eth1", "name": "net1"}]}
    spec = SPEC | {"cdiVersion": "1.1.0", "devices": [{"name": "a", "containerEdits": net}]}
    (node.cdi / f"{DRIVER}-claim_u1.json").write_text(json.dumps(spec))
    done = await node.doctor()
    assert done.says("runtime: CDI version", "finding", "up to 1.0.0, this driver writes 1.1.0")
    assert (
        done.fix("runtime: CDI version")
        == "upgrade containerd to 2.2 or newer: it refuses these spec files"
    )


@pytest.mark.parametrize(
    ("program", "text", "check", "fix"),
    [
        (
            "containerd",
            "containerd x v1.6.20 y",
            "runtime: CDI",
            "upgrade containerd to 1.7 or newer, better 2.x",
        ),
        ("crio", "crio version 1.22.5", "runtime: CDI", "upgrade CRI-O to 1.23 or newer"),
        (
            "crio",
            "crio version 1.33.1",
            "runtime: CDI directories",
            "set CDI_DIR=/var/run/cdi, or in /etc/crio/",
        ),
    ],
)
async def test_old_or_wrongly_set_up_runtimes_say_what_to_do(node, program, text, check, fix):
    node.binary(program, f"echo {text}")
    done = await node.doctor()
    assert done.fix(check).startswith(fix)


async def test_crios_drop_ins_are_read(node):
    node.binary("crio", "echo crio version 1.33.1")
    drop_in = node.host / "etc/crio/crio.conf.d/10.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(f"[crio.runtime]\n{node.reads_ours}")
    assert (await node.doctor()).says("runtime: CDI directories", "ok", str(node.cdi))


async def test_runtimes_no_kubelet_uses_are_only_mentioned(node):
    node.binary("dockerd", "echo Docker version 28.1.1, build x")
    node.binary("podman", "echo podman version 5.4.0")
    done = await node.doctor()
    assert done.says("runtime", "skipped", "docker 28.1.1")
    assert done.says("runtime", "skipped", "podman 5.4.0")


async def test_runtime_imports_that_are_no_pattern_are_named(node):
    node.containerd_config('imports = ["/"]')
    done = await node.doctor()
    assert done.says("runtime: settings", "finding", "imports: '/' is no pattern")


async def test_a_program_that_does_not_end_costs_only_its_version(node):
    node.binary("containerd", "exec sleep 600")
    assert (await node.doctor()).says("runtime: CDI", "ok", "containerd of unknown version")
    node.containerd_config("version = 2\n")
    done = await node.doctor()
    assert done.says("runtime: CDI", "skipped", "on by default in 2.x, in 1.7 only with enable_cdi")


async def test_runtime_settings_that_are_no_toml_are_named(node):
    node.containerd_config("version = = 3")
    done = await node.doctor()
    assert done.says("runtime: settings", "finding", "etc/containerd/config.toml: is no TOML")
    assert done.fix("runtime: settings") == "correct the file, then restart the runtime"


# ---- API server, token, rights, node, clock


async def examined(node, user=None, environ=None, **changes):
    async with answering(**cluster(**changes)) as url:
        node.kubeconfig(url, user)
        return await node.doctor(**(environ or {}))


@pytest.mark.parametrize("runtime", ["containerd://1.7.13", "containerd://2.1.0", "cri-o://1.33.1"])
async def test_settings_of_a_runtime_that_cannot_be_seen_are_no_finding(node, runtime):
    (node.host / "etc/containerd/config.toml").unlink()
    done = await examined(node, node_1=node_object(runtime=runtime))
    assert done.code == 0
    assert done.says("runtime: settings", "skipped", "mount the node's root and give --host DIR")


async def test_a_pod_without_its_service_account_is_told_to_mount_it(node):
    done = await node.doctor(KUBERNETES_SERVICE_HOST="127.0.0.1")
    assert done.says("api: access", "finding", "certificate authority cannot be read")
    assert done.fix("api: access").startswith(
        "mount the service account (automountServiceAccountToken"
    )


async def test_a_kubeconfig_that_cannot_be_used_says_how_to_check_it(node):
    config = node.root / "kubeconfig"
    config.write_text("clusters: []")
    done = await node.doctor(KUBECONFIG=str(config))
    assert done.fix("api: access") == f"check it with `kubectl --kubeconfig {config} version`"


async def test_an_api_server_that_is_not_there_is_one_finding(node):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    node.kubeconfig(url)
    done = await node.doctor()
    assert [r["check"] for r in done.findings] == ["api: server"]
    assert f"make {url} reachable from this node" in done.fix("api: server")


async def test_an_api_server_that_never_answers_costs_five_seconds_not_the_table(node):
    async def never(_):
        await asyncio.Event().wait()

    done = await examined(node, version=never, node_1=never)
    assert done.says("api: server", "finding", "no answer within 5 s")


@pytest.mark.parametrize(
    ("changes", "check", "seen", "fix"),
    [
        (
            {"version": {"gitVersion": "v1.33.4"}},
            "api: server",
            "Kubernetes v1.33.4",
            "upgrade the cluster to",
        ),
        (
            {"version": 401},
            "api: server",
            "401, the token is not accepted",
            "use a token of this cluster",
        ),
        (
            {"resource_k8s_io": {"versions": [{"version": "v1beta2"}, {"version": "v1beta1"}]}},
            "api: resource.k8s.io/v1",
            "served: v1beta2, v1beta1; v1 is not",
            "upgrade the cluster to Kubernetes 1.34 or newer: this driver speaks v1 alone",
        ),
        (
            {"resource_k8s_io": 404},
            "api: resource.k8s.io/v1",
            "is not served",
            "upgrade to Kubernetes 1.34",
        ),
        (
            {"resource_k8s_io": 403},
            "api: resource.k8s.io/v1",
            "answers 403",
            "let the driver's service account",
        ),
        (
            {"node_1": 404},
            "node: name",
            "there is no node node-1",
            "take the name from the downward API",
        ),
        (
            {"node_1": node_object(kubelet="v1.33.1")},
            "node: kubelet",
            "v1.33.1: Dynamic Resource Allocation is off",
            "upgrade the kubelet to 1.34 or newer, or start it with",
        ),
        (
            {"node_1": node_object(kubelet="v1.31.0")},
            "node: kubelet",
            "v1.31.0: does not",
            "upgrade the kubelet",
        ),
        (
            {"node_1": node_object(runtime="containerd://1.6.1")},
            "runtime: CDI",
            "containerd 1.6.1 (node status)",
            "upgrade containerd to 1.7",
        ),
    ],
)
async def test_what_a_cluster_lacks_is_found(node, changes, check, seen, fix):
    done = await examined(node, **changes)
    assert done.says(check, "finding", seen)
    assert done.fix(check).startswith(fix)


async def test_each_right_that_is_missing_comes_with_its_rule(node):
    async def review(request):
        asked = (await request.json())["spec"]["resourceAttributes"]
        denied = (asked["resource"], asked["verb"]) in {
            ("resourceslices", "delete"),
            ("nodes", "get"),
        }
        return {"status": {"allowed": not denied, "reason": "RBAC: no rule"}}

    done = await examined(node, selfsubjectaccessreviews=review)
    assert {r["check"] for r in done.findings} == {"rbac: delete resourceslices", "rbac: get nodes"}
    rules = [yaml.safe_load(r["fix"].partition(":\n")[2]) for r in done.findings]
    assert rules == [
        [{"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices"], "verbs": ["delete"]}],
        [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
    ]
    assert done.says("rbac: delete resourceslices", "finding", "denied: RBAC: no rule")


async def test_a_node_of_another_name_is_suggested(node):
    done = await examined(node, environ={"NODE_NAME": "NODE-1.example.com"})
    assert done.says("node: name", "finding", "no node NODE-1.example.com, but there is node-1")
    assert done.fix("node: name").startswith(
        "set NODE_NAME=node-1, better from the downward API:\nenv:\n"
    )


async def test_without_a_node_name_the_fix_is_the_downward_api(node):
    done = await examined(node, environ={"NODE_NAME": ""})
    assert done.says("node: name", "finding", "NODE_NAME is not set")
    (variable,) = yaml.safe_load(done.fix("node: name").partition("\n")[2])["env"]
    assert variable == {
        "name": "NODE_NAME",
        "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
    }


@pytest.mark.parametrize(
    ("token", "check", "seen", "fix"),
    [
        (
            bound_to(NODE, minutes=-5),
            "api: token",
            "minutes ago",
            "in a pod, use the projected",
        ),
        (
            bound_to("other"),
            "api: token's node",
            "bound to node other",
            "set NODE_NAME from the downward API",
        ),
        (
            jwt(exp=4e9),
            "api: token's node",
            "bound to no node",
            "run in a pod on this node with a projected",
        ),
    ],
)
async def test_tokens_that_will_be_refused_are_found_and_not_shown(node, token, check, seen, fix):
    done = await examined(node, {"token": token})
    assert done.says(check, "finding", seen)
    assert done.fix(check).startswith(fix)
    assert token not in done.out


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "a.bm90IGpzb24.c", jwt(exp="soon"), jwt(exp=10**400)]
)
async def test_tokens_that_say_nothing_are_no_finding(node, token):
    done = await examined(node, {"token": token})
    assert [r["check"] for r in done.findings if r["check"] == "api: token"] == []
    assert done.row("api: token")["state"] == "skipped"


async def test_a_token_file_that_is_missing_is_found(node):
    done = await examined(node, {"tokenFile": str(node.root / "no")})
    assert done.fix("api: token").startswith("mount the service account's token")


@pytest.mark.parametrize(("ahead", "words"), [(-120, "120 s ahead of"), (120, "120 s behind")])
async def test_a_clock_that_is_off_is_found(node, ahead, words):
    async def version(_):
        date = email.utils.formatdate(time.time() + ahead, usegmt=True)
        return web.json_response({"gitVersion": "v1.36.2"}, headers={"Date": date})

    done = await examined(node, version=version)
    assert done.says("api: clock", "finding", "the API server: tokens and leases go by the clock")
    seen = done.row("api: clock")["seen"]
    assert any(w in seen for w in (words, words.replace("120", "119"), words.replace("120", "121")))
    assert done.fix("api: clock").startswith("set the clock: `timedatectl set-ntp true`")


HOSTILE = {
    "no JSON": b"<html>",
    "a list": b"[1]",
    "deep": b"[" * 100_000,
    "wrong types": json.dumps({"gitVersion": 7, "versions": {"a": 1}, "status": "yes"}).encode(),
    "nothing": b"",
    "a terminal's escape": json.dumps(
        {"gitVersion": "v1.36.2\x1b[2J", "versions": [{"version": "v1"}]}
    ).encode(),
    "a redirect": 302,
    "an error": 500,
    "endless": b"x" * (5 << 20),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_server_breaks_nothing(node, answer):
    routes = dict.fromkeys(
        ("version", "resource_k8s_io", "selfsubjectaccessreviews", "node_1"), answer
    )
    async with answering(**routes) as url:
        node.kubeconfig(url)
        done = await node.doctor()
    assert done.code in (0, 1)
    assert done.err == ""
    assert "the check itself failed" not in done.out
    assert "\\u001b" not in done.out


# ---- the driver

NAME = repr(DRIVER)
DRIVERS = {
    "an upper-case name": (
        "'Card.acme'",
        "Inventory()",
        "driver: name",
        "a lower-case DNS subdomain",
    ),
    "a name CDI refuses": (
        "'3d.example'",
        "Inventory()",
        "driver: name",
        "with a letter: CDI takes no",
    ),
    "a bug": (
        NAME,
        "1 / 0",
        "driver: discover",
        "correct the driver; `pydra discover` shows it alone",
    ),
    "no inventory": (NAME, "None", "driver: discover", "correct the driver; `pydra discover`"),
    "a name of clay": (
        NAME,
        "Inventory(Device(7))",
        "driver: discover",
        "correct the driver; `pydra",
    ),
    "a host error": (NAME, "fail()", "driver: discover", "do what it says; `pydra discover`"),
    "a bad device": (
        NAME,
        "Inventory(Device('UP'))",
        "driver: inventory",
        "correct what `discover`",
    ),
}


@pytest.mark.parametrize(("name", "answer", "check", "fix"), DRIVERS.values(), ids=DRIVERS.keys())
async def test_what_is_wrong_with_the_driver_is_found(node, name, answer, check, fix):
    node.program(
        f"""
        from pydra_core import Device, Driver, HostError, Inventory, main

        def fail():
            raise HostError("library: not found; install it")

        class D(Driver):
            name = {name}
            async def discover(self): return {answer}
            async def prepare(self, claim): return []

        main(D)
        """
    )
    done = await node.doctor()
    assert fix in done.fix(check)


async def test_a_driver_that_cannot_be_loaded_exits_2_and_says_why(tmp_path):
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pydra.drivers]\nbroken = broken:Driver\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pydra_core", "doctor", "--driver", "broken"),
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert "cannot be loaded: No module named 'broken'; install what it needs" in err.decode()


async def test_a_discover_that_hangs_in_a_library_costs_its_row_alone(node):
    node.program(
        """
        import asyncio, time
        from pydra_core import Driver, main

        class D(Driver):
            name = "card.acme.example"
            async def discover(self): await asyncio.to_thread(time.sleep, 3600)
            async def prepare(self, claim): return []

        main(D)
        """
    )
    done = await node.doctor("--timeout", "3")
    assert done.says("driver: discover", "finding", "no result after 3 s")
    assert done.fix("driver: discover").startswith("let `discover` only read")
    assert done.says("kubelet: plugins", "ok", "writable")
