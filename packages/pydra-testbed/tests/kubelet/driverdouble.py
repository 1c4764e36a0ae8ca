"""A tiny DRA driver on real sockets: what stands outside the kubelet's door.

It keeps every request with its bytes, path, authority and deadline, and answers what a test tells it.
"""

import asyncio
import itertools
import socket
from dataclasses import dataclass

import grpc
import grpc.aio

from pydra_core._proto import dra_health_v1alpha1_pb2 as health_messages
from pydra_core._proto import dra_v1_pb2, dra_v1beta1_pb2
from pydra_core._proto import pluginregistration_v1_pb2 as registration

V1 = "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin"
V1BETA1 = "k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin"
MESSAGES = {V1: dra_v1_pb2, V1BETA1: dra_v1beta1_pb2}
RECEIVED = registration.RegistrationStatusResponse()
_NUMBERS = itertools.count()
ADVERTISED = ("v1.DRAPlugin", "v1beta1.DRAPlugin")


@dataclass(frozen=True)
class Heard:
    """One request as it arrived; `deadline` is the time that was left, in seconds."""

    service: str
    method: str
    raw: bytes
    deadline: float

    @property
    def message(self):
        if self.method == "GetInfo":
            return registration.InfoRequest.FromString(self.raw)
        if self.method == "NotifyRegistrationStatus":
            return registration.RegistrationStatus.FromString(self.raw)
        kind = getattr(MESSAGES[self.service], f"{self.method}Request")
        return kind.FromString(self.raw)

    @property
    def names(self):
        return [claim.name for claim in self.message.claims]


class Driver:
    """One driver process's worth of sockets, below a kubelet's root."""

    def __init__(self, root, name="card.example.com", *, instance="", versions=ADVERTISED):
        self.name = name
        self.reg = root / "plugins_registry" / f"{name}{instance}-reg.sock"
        self.endpoint = root / "plugins" / f"{name}{instance}.sock"
        self.info = registration.PluginInfo(
            type="DRAPlugin",
            name=name,
            endpoint=str(self.endpoint),
            supported_versions=versions,
        )
        self.heard = asyncio.Queue()
        self.log = []
        self.failures = {}  # method -> list of what to do instead, taken from the front
        self.held = {}  # method -> event that lets it go on
        self.reports = asyncio.Queue()  # health reports to send; None ends the stream
        self.streams = asyncio.Queue()  # one entry for each stream that was opened
        self._servers = []

    async def start(self):
        """Service socket first, then the registration socket, as a driver does."""
        await self.serve(self.endpoint, [self._dra(V1), self._dra(V1BETA1), self._health()])
        await self.start_registration()

    def all_services(self):
        """Everything on one socket."""
        return [self._dra(V1), self._dra(V1BETA1), self._health(), self._registration()]

    async def abandon(self):
        """What SIGKILL leaves: sockets that nobody listens on."""
        sockets = [path for path, _ in self._servers]
        await self.stop()
        for path in sockets:
            with socket.socket(socket.AF_UNIX) as stale:
                stale.bind(str(path))

    async def start_registration(self):
        await self.serve(self.reg, [self._registration()])

    async def serve(self, path, handlers):
        path.parent.mkdir(parents=True, exist_ok=True)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(handlers)
        # On a name of its own: a server that stops takes its file away at some time, and it may be the next one's by then.
        behind = path.with_name(f".{next(_NUMBERS)}-{path.name}")
        server.add_insecure_port(f"unix:{behind}")
        await server.start()
        behind.rename(path)
        self._servers.append((path, server))

    async def stop(self, *paths):
        """Stop serving (all sockets when none is named) and remove the files."""
        wanted = paths or [path for path, _ in self._servers]
        stopping = [pair for pair in self._servers if pair[0] in wanted]
        self._servers = [pair for pair in self._servers if pair[0] not in wanted]
        for path, server in stopping:
            await server.stop(None)
            path.unlink(missing_ok=True)

    async def next(self, method):
        """The next request of that method; others that come first stay in `log` only."""
        while True:
            heard = await self.heard.get()
            if heard.method == method:
                return heard

    def _dra(self, service):
        return _handlers(
            service,
            {
                "NodePrepareResources": self._wrap(service, "NodePrepareResources", self.prepare),
                "NodeUnprepareResources": self._wrap(
                    service, "NodeUnprepareResources", self.unprepare
                ),
            },
        )

    def tell(self, health, *devices, message="", timeout=0):
        """Report devices as HEALTHY, UNHEALTHY or UNKNOWN."""
        response = health_messages.NodeWatchResourcesResponse()
        for device in devices:
            entry = response.devices.add(message=message, health_check_timeout_seconds=timeout)
            entry.device.pool_name, entry.device.device_name = "node-a", device
            entry.health = health_messages.HealthStatus.Value(health)
            entry.last_updated_time = 1  # The kubelet looks at its own clock.
        self.reports.put_nowait(response)

    def _health(self):
        async def watch(_request, _context):
            self.streams.put_nowait(None)
            while (report := await self.reports.get()) is not None:
                yield report.SerializeToString()

        return grpc.method_handlers_generic_handler(
            "v1alpha1.DRAResourceHealth",
            {"NodeWatchResources": grpc.unary_stream_rpc_method_handler(watch)},
        )

    def _registration(self):
        service = "pluginregistration.Registration"
        return _handlers(
            service,
            {
                "GetInfo": self._wrap(service, "GetInfo", lambda _: self.info),
                "NotifyRegistrationStatus": self._wrap(
                    service, "NotifyRegistrationStatus", lambda _: RECEIVED
                ),
            },
        )

    def _wrap(self, service, method, answer):
        async def handle(raw, context):
            heard = Heard(service, method, raw, context.time_remaining())
            self.log.append(heard)
            self.heard.put_nowait(heard)
            if method in self.held:
                await self.held[method].wait()
            if self.failures.get(method):
                failure = self.failures[method].pop(0)
                if isinstance(failure, grpc.StatusCode):
                    await context.abort(failure, "the test said so")
                return failure(heard).SerializeToString()
            return answer(heard).SerializeToString()

        return handle

    def prepare(self, heard):
        """Each claim gets one device, named after the claim."""
        messages = MESSAGES[heard.service]
        response = messages.NodePrepareResourcesResponse()
        for claim in heard.message.claims:
            device = response.claims[claim.uid].devices.add()
            device.pool_name, device.device_name = "node-a", f"dev-{claim.name}"
            device.request_names.append("card")
            device.cdi_device_ids.append(f"example.com/card={claim.name}")
        return response

    def unprepare(self, heard):
        response = MESSAGES[heard.service].NodeUnprepareResourcesResponse()
        for claim in heard.message.claims:
            response.claims[claim.uid].SetInParent()
        return response

    def hold(self, method):
        """Let calls of that method wait until the returned event is set."""
        return self.held.setdefault(method, asyncio.Event())

    def fail_claims(self, method, text, times=1):
        """Answer the next calls with that error for each claim."""

        def failure(heard):
            response = getattr(MESSAGES[heard.service], f"{method}Response")()
            for claim in heard.message.claims:
                response.claims[claim.uid].error = text
            return response

        self.fail(method, *[failure] * times)

    def fail(self, method, *failures):
        self.failures.setdefault(method, []).extend(failures)


def _handlers(service, methods):
    return grpc.method_handlers_generic_handler(
        service,
        {name: grpc.unary_unary_rpc_method_handler(handle) for name, handle in methods.items()},
    )
