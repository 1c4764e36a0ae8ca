"""A node with NVIDIA GPUs around the real driver process, and this file in the place of its kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from driver_world import NODE, World, stopped

from pydra_nvidia_fake import FakeHost
from pydra_testbed.api import ApiServer, write_kubeconfig
from pydra_testbed.clock import RealClock

DRIVER = "gpu.nvidia.com"
PROGRAM = "from pydra_nvidia.program import run\nrun()\n"
API = "resource.nvidia.com/v1beta1"


def slices_of(interval):
    """Parameters of upstream's API that ask for time slices."""
    sharing = {"strategy": "TimeSlicing", "timeSlicingConfig": {"interval": interval}}
    return {"apiVersion": API, "kind": "GpuConfig", "sharing": sharing}


class NvidiaWorld(World):
    """`World` with a machine, for the driver of that name."""

    host: FakeHost

    @property
    def dra_socket(self):
        return self.root / "kubelet/plugins" / DRIVER / "dra.sock"

    @property
    def registration_socket(self):
        return self.root / "kubelet/plugins_registry" / f"{DRIVER}-reg.sock"

    def build(self, description, **options):
        self.host = FakeHost.build(description, self.root / "machine", **options)
        return self.host

    async def serve(self, **environ):
        """Start the driver on the machine."""
        return await self.start(PROGRAM, NVIDIA_HOST_ROOT=str(self.host.root), **environ)

    async def gpus(self, *devices, parameters=None, admin=()):
        """A claim that is allocated to these devices, and to those of `admin` for administration."""
        results = [
            {"driver": DRIVER, "pool": NODE, "device": device}
            | ({"adminAccess": True} if device in admin else {})
            for device in (*devices, *admin)
        ]
        opaque = {"opaque": {"driver": DRIVER, "parameters": parameters}}
        config = [{"source": "FromClaim", "requests": [], **opaque}] if parameters else []
        return await self.claim(*results, config=config)

    def spec(self, claim):
        """The claim's spec file, and the container edits of its devices."""
        (file,) = self.cdi.glob(f"*{claim.uid}*")
        content = json.loads(file.read_bytes())
        return {d["name"].split("_")[2]: d["containerEdits"] for d in content["devices"]}

    async def taints(self):
        """Device to the value of its taint, as published now."""
        devices = [d for body in (await self.slices()).values() for d in body["spec"]["devices"]]
        return {d["name"]: d["taints"][0]["value"] for d in devices if d.get("taints")}


async def until(look, holds=bool, pause=0.02):
    """Wait until what `look` returns is as wanted, and return it."""
    while True:
        seen = look()
        if inspect.isawaitable(seen):
            seen = await seen
        if holds(seen):
            return seen
        await asyncio.sleep(pause)


async def error(call, claim):
    """What the kubelet is told of a claim; empty for success."""
    return (await call(claim)).claims[claim.uid].error


@contextlib.asynccontextmanager
async def nvidia_node():
    """A node for the block; what was started on it is stopped."""
    async with contextlib.AsyncExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp")
        root = Path(stack.enter_context(folder))
        server = ApiServer(RealClock())
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await server.local.create("nodes", node)
        namespace = await server.local.get("namespaces", "default")
        namespace["metadata"]["labels"] = {"resource.kubernetes.io/admin-access": "true"}
        await server.local.update("namespaces", namespace)
        url = await stack.enter_async_context(server.listen())
        made = NvidiaWorld(root, server, write_kubeconfig(root / "kubeconfig", url))
        await stack.enter_async_context(stopped(made))
        yield made


@pytest.fixture
async def nvidia():
    """A node; `build` its machine and `serve`."""
    if not shutil.which("cc") and not shutil.which("gcc"):
        pytest.skip("no C compiler to build the stub of NVML with")
    async with nvidia_node() as made:
        yield made
