"""A node for `doctor` to look at: folders, a host tree, a driver's program, and servers that answer as told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from pydra_core._state import frames, records

DRIVER = "card.acme.example"
NODE = "node-1"

CARDS = """
from pydra_core import Device, Driver, Inventory, main


class CardDriver(Driver):
    name = "card.acme.example"

    async def discover(self):
        return Inventory(*(Device(f"card-{n}", attributes={"index": n}) for n in range(4)))

    async def prepare(self, claim):
        return [a.prepared() for a in claim.allocations]


main(CardDriver)
"""

WITHOUT_RIGHTS = """
import ctypes, os, sys
prctl = ctypes.CDLL(None).prctl
for capability in range(41):  # what root may beyond its own files; anybody else has none of it
    prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

SPEC = {
    "cdiVersion": "0.5.0",
    "kind": f"{DRIVER}/claim",
    "devices": [{"name": "a", "containerEdits": {"env": ["A=1"]}}],
}
"""A spec file of the driver."""

NOT_PERMITTED = 77

ON_ANOTHER_FILE_SYSTEM = """
import ctypes, json, os, sys
root, (kind, below, read_only, options) = sys.argv[1], json.loads(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
MOUNTS, USERS, READ_ONLY, PRIVATE = 0x20000, 0x10000000, 1, 1 << 18 | 1 << 14
def done(code):
    if code:
        print(os.strerror(ctypes.get_errno()), file=sys.stderr)
        sys.exit(77)
os.chdir(root)
done(libc.unshare(MOUNTS if os.geteuid() == 0 else MOUNTS | USERS))
done(libc.mount(b"none", b"/", None, PRIVATE, None))
target = os.path.join(root, below).encode()
done(libc.mount(kind.encode(), target, kind.encode(), READ_ONLY * read_only, options.encode()))
os.chmod(target, 0o755) if not read_only else None
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


@dataclass
class Examined:
    """What one run of `doctor` said."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)

    @property
    def rows(self):
        return self.document["checks"]

    @property
    def findings(self):
        return [r for r in self.rows if r["state"] == "finding"]

    def row(self, check):
        (found,) = [r for r in self.rows if r["check"] == check]
        return found

    def says(self, check, state, seen):
        """Insist on one row of that state whose text holds `seen`."""
        found = [r for r in self.rows if r["check"] == check and seen in r["seen"]]
        assert len(found) == 1, (check, seen, self.rows)
        assert found[0]["state"] == state
        return True

    def fix(self, check, seen=""):
        (found,) = [r for r in self.findings if r["check"] == check and seen in r["seen"]]
        return found["fix"]


@dataclass
class DoctorNode:
    """A node in good order, below one short folder; tests spoil one thing each."""

    root: Path
    environ: dict = field(default_factory=dict)

    def __post_init__(self):
        for folder in (
            "kubelet/plugins_registry",
            "kubelet/plugins",
            "cdi",
            "host/etc/containerd",
            "host/usr/bin",
        ):
            (self.root / folder).mkdir(parents=True, mode=0o755)
        self.containerd_config(f'[plugins."io.containerd.cri.v1.runtime"]\n{self.reads_ours}')
        self.program(CARDS)
        self.environ |= {
            "NODE_NAME": NODE,
            "KUBELET_ROOT": str(self.kubelet),
            "CDI_DIR": str(self.cdi),
        }

    @property
    def kubelet(self):
        return self.root / "kubelet"

    @property
    def cdi(self):
        return self.root / "cdi"

    @property
    def host(self):
        return self.root / "host"

    @property
    def data(self):
        return self.kubelet / "plugins" / DRIVER

    @property
    def reads_ours(self):
        return f'cdi_spec_dirs = ["/etc/cdi", "{self.cdi}"]\n'

    def containerd_config(self, text):
        (self.host / "etc/containerd/config.toml").write_text(text)

    def binary(self, name, text):
        file = self.host / "usr/bin" / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def program(self, source):
        (self.root / "driver.py").write_text(textwrap.dedent(source))

    def kubeconfig(self, url, user=None):
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": user or {}}],
        }
        (self.root / "kubeconfig").write_text(yaml.safe_dump(config))
        self.environ["KUBECONFIG"] = str(self.root / "kubeconfig")

    async def doctor(self, *arguments, form="json", before=(), **environ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *before,
            str(self.root / "driver.py"),
            "doctor",
            "--host",
            str(self.host),
            "-o",
            form,
            *arguments,
            env=_plain_environment() | self.environ | environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return Examined(process.returncode, out.decode(), err.decode())


def _plain_environment():
    unwanted = ("KUBE", "NODE_NAME", "CDI_", "FORCE_COLOR", "SOCKET_PATH", "REGISTRATION_")
    return {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}


def jwt(**claims):
    """A token as service accounts have them, signed by nobody."""
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*encoded, "c2lnbmVk"])


def bound_to(node, *, minutes=60):
    return jwt(exp=time.time() + minutes * 60, **{"kubernetes.io": {"node": {"name": node}}})


@contextlib.asynccontextmanager
async def answering(**routes):
    """An HTTP server that is no API server: `path=` answer, by the last part of the path.

    An answer is a dict (JSON), bytes, a status, a function from the request to one of these, or a response.
    """

    async def handle(request):
        name = request.path.rpartition("/")[2].replace(".", "_").replace("-", "_")
        answer = routes.get(name, 404)
        answer = await answer(request) if callable(answer) else answer
        if isinstance(answer, dict):
            return web.json_response(answer)
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.Response(status=answer) if isinstance(answer, int) else answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


VERSION = {"gitVersion": "v1.36.2"}
GROUP = {"versions": [{"version": "v1"}]}


def node_object(kubelet="v1.36.2", runtime="containerd://2.2.0"):
    return {"status": {"nodeInfo": {"kubeletVersion": kubelet, "containerRuntimeVersion": runtime}}}


def cluster(**changes):
    """Routes of a cluster that grants everything; `node_1` is the node object."""

    async def review(_):
        return {"status": {"allowed": True}}

    return {
        "version": VERSION,
        "resource_k8s_io": GROUP,
        "selfsubjectaccessreviews": review,
        "node_1": node_object(),
    } | changes


@pytest.fixture
def node():
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield DoctorNode(Path(folder))


async def examined(node, user=None, environ=None, **changes):
    async with answering(**cluster(**changes)) as url:
        node.kubeconfig(url, user)
        return await node.doctor(**(environ or {}))


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
