"""The users' pages about drivers and claims, done as they say, on a small node of their own."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
import msgspec
import pytest

from pydra_core import main
from pydra_core._proto import dra_v1_pb2
from pydra_core._state import disk
from pydra_core._state.records import DeviceAnswer, DeviceUse, Intent, Prepared

DOCS = Path(__file__).parents[2] / "docs" / "user"
PAGES = {
    "driver-parameters.md": "How do I describe my driver's parameters?",
    "validate-claims.md": "How do I check claims before I apply them?",
    "who-has-which-device.md": "Who has which device?",
    "pod-terminating.md": "A pod hangs in Terminating",
    "bug-report.md": "What do I send with a bug report?",
}
DRIVER = "card.acme.example"
UID = "0e7cb5f1-8b51-4a5c-a4a9-d1ab1d3ff2a6"
RED = Prepared(
    UID,
    "red",
    "hand",
    (DeviceUse(pool="node-1", device="card-0", consumed={"memory": "4Gi"}),),
    (DeviceAnswer(request="card", pool="node-1", device="card-0"),),
    msgspec.Raw(b'{"cdiVersion": "0.5.0"}'),
)
BLUE = Intent("b", "blue", "hand", (DeviceUse(pool="node-1", device="card-1"),))


@pytest.fixture
def node(monkeypatch):
    """A folder with room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield _node(Path(folder), monkeypatch)
        monkeypatch.undo()


def _node(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = str(tmp_path / "k")
    variables = {"KUBELET_ROOT": root, "CDI_DIR": "cdi", "KUBECONFIG": "", "COLUMNS": "120"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.delenv("NODE_NAME", raising=False)
    return tmp_path


def prepared(*records):
    """A journal, and the red claim's spec file of two hours ago."""
    journal = Path("k/plugins") / DRIVER / "journal"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(disk.image(records))
    Path("cdi").mkdir()
    spec = Path(f"cdi/{DRIVER}-claim_{UID}.json")
    spec.write_bytes(bytes(RED.spec))
    os.utime(spec, (time.time() - 7300,) * 2)


def run(command):
    """The command's output; those of `pydra` alone run in this process, which is quicker."""
    words = command.split()
    if words[0] != "pydra" or "|" in words:
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False
        )
        return done.returncode, done.stdout + done.stderr
    out = io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(io.StringIO()),
        pytest.raises(SystemExit) as ended,
    ):
        main(None, words[1:])
    return ended.value.code, out.getvalue()


def kubelet():
    """Asks, as soon as somebody serves, to unprepare the red claim."""
    v1 = dra_v1_pb2
    claim = v1.Claim(namespace="red", uid=UID, name="hand")
    with grpc.insecure_channel(f"unix:{Path(f'k/plugins/{DRIVER}/dra.sock').resolve()}") as channel:
        method = f"/{v1.DESCRIPTOR.services_by_name['DRAPlugin'].full_name}/NodeUnprepareResources"
        call = channel.unary_unary(
            method,
            request_serializer=v1.NodeUnprepareResourcesRequest.SerializeToString,
            response_deserializer=v1.NodeUnprepareResourcesResponse.FromString,
        )
        request = v1.NodeUnprepareResourcesRequest(claims=[claim])
        call(request, timeout=20, wait_for_ready=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_prints_what_is_shown(page, node):
    text = (DOCS / page).read_text()
    for name, content in re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL):
        (node / name).write_text(content)
    if page == "who-has-which-device.md":
        prepared(RED, BLUE)
    elif page == "pod-terminating.md":
        prepared(RED)
    else:
        (node / "k").mkdir()
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    steps = [step for block in blocks for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    assert steps
    code = 0
    for step in steps:
        command, _, shown = step.partition("\n")
        if command == "echo $?":
            assert f"{code}\n" == shown
            continue
        asking = threading.Thread(target=kubelet) if command == f"pydra unstick {DRIVER}" else None
        if asking:
            asking.start()
        code, out = run(command)
        if asking:
            asking.join()
        assert [line.rstrip() for line in out.splitlines()] == shown.splitlines(), command


def test_every_page_is_short_and_stands_in_the_index():
    index = (DOCS / "README.md").read_text()
    for page, title in PAGES.items():
        lines = (DOCS / page).read_text().splitlines()
        assert lines[0] == f"# {title}"
        assert len(lines) <= 85
        assert f"[{title}]({page})" in index
