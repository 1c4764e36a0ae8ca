"""`doctor` and CDI: the directory a driver writes, and what lies in it."""

from __future__ import annotations

import json

import pytest
from doctor_node import (
    DRIVER,
    NOT_PERMITTED,
    ON_ANOTHER_FILE_SYSTEM,
    SPEC,
    node,
    prepared,
    with_journal,
)

from pydra_core._state import frames, records

__all__ = ["node"]


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
