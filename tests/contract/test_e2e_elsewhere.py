"""The end-to-end tests on a cluster that is not their own: only a kubeconfig, a node's name and its folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest

E2E = Path(__file__).parents[1] / "e2e"


@pytest.fixture
def elsewhere():
    """A cluster in the background; yields its status."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        environ = os.environ | {"TMPDIR": folder, "XDG_RUNTIME_DIR": folder}

        def testbed(*arguments):
            command = [sys.executable, "-m", "pydra_core", "testbed", *arguments]
            return subprocess.run(command, env=environ, capture_output=True, check=True).stdout

        testbed("up")
        try:
            yield json.loads(testbed("status", "-o", "json"))
        finally:
            testbed("down")


def test_they_pass_there_skip_what_is_not_theirs_and_leave_nothing(elsewhere):
    environ = elsewhere["nodes"][0]["environment"]
    flags = {
        "--kubeconfig": environ["KUBECONFIG"],
        "--node": environ["NODE_NAME"],
        "--kubelet-root": environ["KUBELET_ROOT"],
        "--cdi-dir": environ["CDI_DIR"],
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        str(E2E),
    ]
    command += ["-k", "served_and_freed or share or restart or away"]
    command += [word for flag in flags.items() for word in flag]
    done = subprocess.run(command, capture_output=True, text=True, cwd=E2E.parents[1], check=False)
    assert "2 passed, 3 skipped" in done.stdout, done.stdout
    assert "a real node's kubelet is its service manager's to restart" in done.stdout
    for kind in ("deviceclasses", "resourceslices", "resourceclaims"):
        url = f"{elsewhere['url']}/apis/resource.k8s.io/v1/{kind}"
        with urllib.request.urlopen(url) as answer:
            assert json.load(answer)["items"] == []


def test_without_a_kubelet_where_they_look_they_say_so_at_once(tmp_path):
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider"]
    command += [str(E2E), "-x"]
    command += ["--kubeconfig", "nowhere", "--node", "n1", "--kubelet-root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=E2E.parents[1], check=False)
    assert f"no kubelet serves below {tmp_path}: run on the node itself" in done.stdout
