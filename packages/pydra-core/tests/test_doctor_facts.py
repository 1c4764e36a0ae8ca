from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pydra_core._commands.doctor import findings, folders, kubelet, runtime_versions
from pydra_core._commands.doctor.findings import MEANINGS, Finding

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:5 / /dev rw - devtmpfs udev rw
24 22 0:21 / /run rw,nosuid shared:5 - tmpfs tmpfs rw
25 24 0:22 / /run/cdi rw - ramfs none rw
26 24 0:23 / /run/cdi rw - tmpfs none rw
27 22 0:24 / /a\\040b rw - xfs /dev/vdb rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/run/cdi", "tmpfs"),
        ("/run/cdi/below", "tmpfs"),
        ("/running", "ext4"),
        ("/dev/shm-not", "devtmpfs"),
        ("/a b/c", "xfs"),
        ("/", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_last_mount_above_the_path(path, kind):
    assert folders.file_system(Path(path), MOUNTS) == kind


def test_a_file_system_nobody_mentions_is_unknown():
    assert folders.file_system(Path("/x"), "") == "unknown"


def test_asking_whether_a_directory_can_be_written_leaves_no_trace(tmp_path):
    before = tmp_path.stat()
    assert folders.refusal(tmp_path) is None
    after = tmp_path.stat()
    assert list(tmp_path.iterdir()) == []
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)


def test_a_place_that_knows_no_unnamed_files_is_asked_for_its_permissions():
    refused = folders.refusal(Path("/proc/self/fdinfo"))
    assert (refused is None) == os.access("/proc/self/fdinfo", os.W_OK | os.X_OK)


@pytest.mark.parametrize(
    ("errno", "fix"),
    [
        ("EROFS", "mount it read-write (no `readOnly: true` on this volumeMount)"),
        ("ENOSPC", "free space or inodes on its file system (`df -h /x; df -i /x`)"),
        ("EDQUOT", "raise the quota of its file system, or free space"),
        ("EACCES", "run the driver as root, or as the owner of /x"),
    ],
)
def test_each_refusal_has_its_fix(errno, fix):
    import errno as numbers

    assert folders.fix_for(OSError(getattr(numbers, errno), ""), Path("/x")) == fix


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("containerd github.com/containerd/containerd v1.7.13 7c3aca7", (1, 7, 13)),
        ("containerd containerd.io 1.7.25 bcc810d6b9066471b0b6fa75f557a15a1cbf31bb", (1, 7, 25)),
        ("containerd github.com/containerd/containerd/v2 2.1.0-k3s1 x", (2, 1, 0)),
        ("crio version 1.29.1\nVersion: 1.29.1\nGitCommit: 78e179ba8dd3", (1, 29, 1)),
        ("Docker version 26.1.3, build 26.1.3-0ubuntu1", (26, 1, 3)),
        ("podman version 4.9", None),
        ("", None),
    ],
)
def test_versions_are_read_from_what_the_programs_print(text, version):
    assert runtime_versions.parse(text) == version


def test_the_node_object_names_runtime_and_version():
    reported = runtime_versions.reported("containerd://1.7.13")
    assert (reported.name, reported.version) == ("containerd", (1, 7, 13))
    assert runtime_versions.reported("") is None
    assert runtime_versions.reported("://1.7.13") is None


def test_the_default_root_is_known_and_each_root_only_once():
    assert kubelet.KNOWN_ROOTS[0] == "/var/lib/kubelet"
    assert len(set(kubelet.KNOWN_ROOTS)) == len(kubelet.KNOWN_ROOTS)


def test_each_finding_has_a_plain_name_a_meaning_and_a_place_where_it_is_found():
    assert list(MEANINGS) == list(Finding)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", name) for name in Finding)
    sources = Path(findings.__file__).parent.glob("*.py")
    text = "".join(p.read_text() for p in sources if p.name != "findings.py")
    assert {
        f.name for f in Finding if f"finding(Finding.{f.name}," not in "".join(text.split())
    } == set()
