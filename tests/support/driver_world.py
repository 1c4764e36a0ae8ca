"""A node around a real driver process: the testbed's API server, and this file in the place of the kubelet.

The tests speak the kubelet's protocol over the driver's own sockets, call by call, which the testbed's kubelet
would not let them do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import textwrap
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from dialling import dial

from pydra_core._proto import dra_v1_pb2
from pydra_core._proto import pluginregistration_v1_pb2 as registration
from pydra_testbed.api import ApiServer, write_kubeconfig
from pydra_testbed.clock import RealClock

NODE = "node-1"
DRIVER = "card.acme.example"

CARDS = """
from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, Driver, Inventory, PreparedDevice, main


class CardDriver(Driver):
    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"card-{n}", attributes={"index": n}) for n in range(4)))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=[f"CARD_{a.request}={a.device}"])) for a in claim.allocations]


main(CardDriver)
"""


@dataclass
class DriverUnderTest:
    """One driver process on the node, and its two doors."""

    world: World
    process: asyncio.subprocess.Process
    pod_uid: str = ""
    _lines: list[str] = field(default_factory=list)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)
    _reader: asyncio.Task | None = None

    def __post_init__(self):
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def _read(self):
        async for line in self.process.stderr:
            async with self._more:
                self._lines.append(line.decode())
                self._more.notify_all()

    @property
    def dra_socket(self):
        path = self.world.dra_socket
        return path.with_name(f"dra-{self.pod_uid}.sock") if self.pod_uid else path

    @property
    def registration_socket(self):
        path = self.world.registration_socket
        own = path.name.replace("-reg.sock", f"-{self.pod_uid}-reg.sock")
        return path.with_name(own) if self.pod_uid else path

    async def registered(self):
        """Do what the kubelet does when it finds the registration socket."""
        info = await self.call(self.registration_socket, registration, "Registration", "GetInfo")
        await self.call(
            self.registration_socket,
            registration,
            "Registration",
            "NotifyRegistrationStatus",
            registration.RegistrationStatus(plugin_registered=True),
        )
        return info

    async def prepare(self, *claims, api=dra_v1_pb2, seconds=45):
        return await self._claims("Prepare", claims, api, seconds)

    async def unprepare(self, *claims, api=dra_v1_pb2, seconds=45):
        return await self._claims("Unprepare", claims, api, seconds)

    async def _claims(self, verb, claims, api, seconds):
        request = getattr(api, f"Node{verb}ResourcesRequest")(
            claims=[api.Claim(namespace=c.namespace, uid=c.uid, name=c.name) for c in claims]
        )
        return await self.call(
            self.dra_socket,
            api,
            "DRAPlugin",
            f"Node{verb}Resources",
            request,
            seconds=seconds,
        )

    async def call(self, path, api, service, method, request=None, seconds=5):
        descriptor = api.DESCRIPTOR.services_by_name[service]
        found = descriptor.methods_by_name[method]
        types = [getattr(api, t.name) for t in (found.input_type, found.output_type)]
        async with dial(path) as channel:
            stub = channel.unary_unary(
                f"/{descriptor.full_name}/{method}",
                request_serializer=types[0].SerializeToString,
                response_deserializer=types[1].FromString,
            )
            return await stub(
                request if request is not None else types[0](), timeout=seconds, wait_for_ready=True
            )

    async def stop(self, *, kill=False):
        if self.process.returncode is None:
            self.process.kill() if kill else self.process.terminate()
        return await self.ended()

    async def ended(self):
        """Wait for the end of the process and of its log; returns the exit code."""
        await asyncio.shield(
            self._reader
        )  # whoever waits for the end may be cancelled, the reader not
        return await self.process.wait()

    async def says(self, text, *, after=0):
        """Wait until the log holds `text`, behind its first `after` characters."""
        async with self._more:
            await self._more.wait_for(lambda: text in self.logged()[after:])

    def logged(self):
        return "".join(self._lines)


@dataclass
class Claim:
    """A claim the tests made, as the kubelet refers to it."""

    name: str
    uid: str
    namespace: str = "default"


@dataclass
class World:
    """The node: folders, API server, and the drivers started on it."""

    root: Path
    server: ApiServer
    kubeconfig: Path
    drivers: list[DriverUnderTest] = field(default_factory=list)

    @property
    def api(self):
        return self.server.local

    @property
    def cdi(self):
        return self.root / "cdi"

    @property
    def dra_socket(self):
        return self.root / "kubelet" / "plugins" / DRIVER / "dra.sock"

    @property
    def registration_socket(self):
        return self.root / "kubelet" / "plugins_registry" / f"{DRIVER}-reg.sock"

    def spec_files(self):
        return {f.name: f.read_bytes() for f in self.cdi.glob("*")} if self.cdi.exists() else {}

    async def start(self, source=CARDS, *, arguments=(), offers_dra=True, **environ):
        """Start the driver whose program is `source`, and wait until both of its sockets answer, if they are to."""
        program = self.root / f"driver-{len(self.drivers)}.py"
        program.write_text(textwrap.dedent(source))
        variables = {
            "NODE_NAME": NODE,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBELET_ROOT": str(self.root / "kubelet"),
            "CDI_DIR": str(self.cdi),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            "run",
            *arguments,
            env=os.environ | variables | environ,
            stderr=asyncio.subprocess.PIPE,
        )
        driver = DriverUnderTest(self, process, environ.get("POD_UID", ""))
        self.drivers.append(driver)
        if offers_dra:
            await self._answering(driver)
        return driver

    async def _answering(self, driver):
        ended = asyncio.ensure_future(driver.ended())
        answer = asyncio.ensure_future(
            driver.call(
                driver.registration_socket, registration, "Registration", "GetInfo", seconds=20
            )
        )
        await asyncio.wait((ended, answer), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            answer.cancel()
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await answer
            return
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
        await answer

    async def claim(self, *devices, name=None, config=(), requests=None):
        """Make a claim that is allocated to `devices` of this node, one request for each."""
        name = name or f"claim-{uuid.uuid4().hex[:8]}"
        names = requests or [f"r{i}" for i in range(len(devices))]
        spec = {"devices": {"requests": [_request(n) for n in names]}}
        body = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
        made = await self.api.create("resourceclaims", body, "default")
        if devices:
            results = [
                {"request": n, "driver": DRIVER, "pool": NODE, "device": d}
                if isinstance(d, str)
                else {"request": n, **d}
                for n, d in zip(names, devices, strict=True)
            ]
            made["status"] = {
                "allocation": {"devices": {"results": results, "config": list(config)}}
            }
            made = await self.api.update("resourceclaims", made, "status")
        return Claim(name, made["metadata"]["uid"])

    async def slices(self):
        listed = await self.api.list("resourceslices")
        return {item["metadata"]["name"]: item for item in listed.items}


def _request(name):
    base, _, sub = name.partition("/")
    if sub:
        return {"name": base, "firstAvailable": [{"name": sub, "deviceClassName": "card"}]}
    return {"name": base, "exactly": {"deviceClassName": "card"}}


@contextlib.asynccontextmanager
async def stopped(made):
    """At the end, kill the drivers that were started."""
    try:
        yield
    finally:
        for driver in made.drivers:
            await driver.stop(kill=True)
            sys.stderr.write(driver.logged())  # pytest shows it when the test failed


@pytest.fixture
async def world():
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        root = Path(folder)
        server = ApiServer(RealClock())
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await server.local.create("nodes", node)
        async with server.listen() as url:
            made = World(root, server, write_kubeconfig(root / "kubeconfig", url))
            async with stopped(made):
                yield made
