"""A node to test: the real API server, the real runtime, the kubelet, and drivers on real sockets."""

import asyncio
import json
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from pydra_testbed.api.server import ApiServer
from pydra_testbed.clock import ManualClock, RealClock, settle
from pydra_testbed.kubelet import Kubelet, KubeletFaults, KubeletSettings
from pydra_testbed.objects import ApiStatusError, ObjectRef, Patch, Selection
from pydra_testbed.runtime import Runtime

from .driverdouble import Driver
from .pluginprocess import Plugin

QUICK = KubeletSettings(reconcile_period=0.01)
OPEN = "device plugins can register"


class SteppedClock(ManualClock):
    """A manual clock that tells a test when somebody began to wait."""

    def __init__(self):
        super().__init__()
        self._asked = []
        self._bell = asyncio.Event()

    async def sleep(self, seconds):
        self._asked.append(seconds)
        self._bell.set()
        await super().sleep(seconds)

    async def asked(self, low, high=None):
        """Wait until somebody sleeps for `low` to `high` seconds; returns the time. Each counts once."""
        while True:
            for seconds in self._asked:
                if low <= seconds <= (high or low):
                    self._asked.remove(seconds)
                    return seconds
            self._bell.clear()
            await self._bell.wait()

    def took(self, seconds):
        """Whether somebody began to sleep for that long; counts once."""
        found = seconds in self._asked
        if found:
            self._asked.remove(seconds)
        return found

    def forget(self, seconds):
        """Forget who began to sleep for that long so far."""
        while self.took(seconds):
            pass


class Journal(logging.Handler):
    """What the kubelet logged, so that a test can wait for it; each record counts once."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.messages = []
        self._bell = asyncio.Event()

    def emit(self, record):
        self.messages.append(record.getMessage())
        self._bell.set()

    async def saw(self, message):
        while message not in self.messages:
            self._bell.clear()
            await self._bell.wait()
        self.messages.remove(message)


class Calls(list):
    """The calls the kubelet reported, so that a test can wait for one; each counts once."""

    def __init__(self):
        super().__init__()
        self._fresh = []
        self._bell = asyncio.Event()

    def append(self, call):
        super().append(call)
        self._fresh.append(call)
        self._bell.set()

    async def saw(self, method, endpoint):
        """Wait for a successful call of that method on that socket."""
        while True:
            for call in self._fresh:
                if (call.method, call.endpoint, call.code) == (method, str(endpoint), "OK"):
                    self._fresh.remove(call)
                    return
            self._bell.clear()
            await self._bell.wait()


class Node:
    """Everything around one kubelet, and short ways to use it."""

    name = "node-a"

    def __init__(self, base, clock):
        self.base = base
        self.clock = clock
        self.root = base / "kubelet"
        self.cdi = base / "cdi"
        self.cdi.mkdir()
        self.fifo = base / "fifo"
        os.mkfifo(self.fifo)
        self.runtime = Runtime(base / "run", [self.cdi], clock=clock)
        self.server = ApiServer(clock, logs=self.runtime)
        self.api = self.server.local
        self.calls = Calls()
        self.journal = Journal()
        logging.getLogger("pydra_testbed.kubelet").setLevel(logging.INFO)
        logging.getLogger("pydra_testbed.kubelet").addHandler(self.journal)
        self.faults = KubeletFaults()
        self._drivers = []
        self._kubelet = None

    async def start(self, settings=None):
        """Run the kubelet and wait until its node is ready; of a node that was ready before, until it takes plugins."""
        while OPEN in self.journal.messages:
            await self.journal.saw(OPEN)
        self.begin(settings)
        await self.journal.saw(OPEN)
        await self.until("nodes", self.name, lambda node: node.get("status", {}).get("conditions"))

    def begin(self, settings=None):
        settings = settings or (QUICK if isinstance(self.clock, RealClock) else KubeletSettings())
        kubelet = Kubelet(
            self.api,
            self.clock,
            self.name,
            self.root,
            self.runtime,
            settings=settings,
            observer=self.calls.append,
            faults=self.faults,
        )
        self._kubelet = asyncio.create_task(kubelet.run())

    async def stop(self):
        """Stop the kubelet; an error of its own comes out here."""
        task, self._kubelet = self._kubelet, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def close(self):
        logging.getLogger("pydra_testbed.kubelet").removeHandler(self.journal)
        await self.stop()
        for driver in self._drivers:
            await driver.stop()
        await self.runtime.close()

    async def driver(self, *args, start=True, registered=True, **options):
        driver = Driver(self.root, *args, **options)
        self._drivers.append(driver)
        if start:
            await driver.start()
            if registered:
                await self.look()
                await self.registered(driver)
        return driver

    async def registered(self, driver):
        """Wait until the kubelet has told the driver that it is registered."""
        await self.calls.saw("NotifyRegistrationStatus", driver.reg)

    async def connected_driver(self, **options):
        """A registered driver whose service connection the kubelet has seen."""
        driver = await self.driver(**options)
        await self.journal.saw("driver connected")
        return driver

    async def look(self):
        """Let the kubelet look at the registry once more; in real time it does so by itself."""
        if isinstance(self.clock, SteppedClock):
            await self.clock.asked(1.0)
            await self.clock.advance(1.0)

    async def look_at_refused(self):
        """One look; returns whether a driver was asked, after it has been refused."""
        await self.look()
        asked = self.clock.took(10.0)
        if asked:
            await self.journal.saw("driver not registered")
        return asked

    async def claim(self, name="c", *drivers, pods=(), requests=("card",)):
        """An allocated claim, reserved for `pods`, with one device per driver and request."""
        devices = {"requests": [_request(request) for request in requests]}
        metadata = {"name": name, "namespace": "default"}
        body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata}
        claim = await self.api.create("resourceclaims", {**body, "spec": {"devices": devices}})
        results = [
            {"request": request, "driver": driver, "pool": self.name, "device": f"dev-{request}"}
            for driver in drivers or ("card.example.com",)
            for request in requests
        ]
        claim["status"] = {"allocation": {"devices": {"results": results}}}
        claim = await self.api.update("resourceclaims", claim, "status")
        for pod in pods:
            claim = await self.reserve(name, pod)
        return claim

    async def reserve(self, name, pod):
        claim = await self.api.get("resourceclaims", name, "default")
        consumer = {
            "resource": "pods",
            "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"],
        }
        claim["status"].setdefault("reservedFor", []).append(consumer)
        return await self.api.update("resourceclaims", claim, "status")

    async def pod(self, name="p", command=("sleep", "1000"), claims=(), *, bound=True, **fields):
        """Create a pod that uses `claims` in its only container, and bind it."""
        container = {
            "name": "main",
            "image": "none",
            "command": list(command),
            "resources": {"claims": [{"name": claim} for claim in claims]},
            **fields.pop("container", {}),
        }
        spec = {
            "containers": [container],
            "resourceClaims": [{"name": claim, "resourceClaimName": claim} for claim in claims],
            "terminationGracePeriodSeconds": 5,
            **fields,
        }
        body = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
        body["metadata"] = {"name": name, "namespace": "default"}
        pod = await self.api.create("pods", body)
        if bound:
            await self.bind(name)
        return pod

    async def claiming_pod(self, name="p", *claims, command=("sleep", "1000"), **fields):
        """A pod with claims of its own that are allocated and reserved, bound last."""
        claims = claims or ("c",)
        pod = await self.pod(name, command, claims, bound=False, **fields)
        for claim in claims:
            with suppress(ApiStatusError):
                await self.claim(claim)
            await self.reserve(claim, pod)
        await self.bind(name)
        return pod

    async def drop_claim(self, name):
        """Remove a claim from the API although a pod used it."""
        claim = await self.api.get("resourceclaims", name, "default")
        claim["status"] = {}
        await self.api.update("resourceclaims", claim, "status")
        await self.api.delete(ObjectRef("resourceclaims", name, "default"))
        await self.until_gone("resourceclaims", name)

    def claims(self):
        """The claims in the kubelet's own file."""
        envelope = json.loads((self.root / "dra_manager_state").read_text())
        return json.loads(envelope["Data"])["Entries"]

    async def line(self):
        """The next line a container writes into `fifo`."""
        reader = asyncio.StreamReader()
        pipe = os.fdopen(os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK), "rb", 0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        line = await reader.readline()
        transport.close()
        return line.decode().strip()

    async def first_of_log(self, name, container):
        """The first line a running container wrote."""
        text = b""
        async for chunk in self.runtime.read("default", name, container, follow=True):
            text += chunk
            if b"\n" in text:
                return text.decode().splitlines()[0]
        raise AssertionError(text)

    def environment(self, pod, container):
        """The names of a container's CARD_ variables, as its config.json has them."""
        spec = json.loads(self.runtime.spec_path(pod, container, 0).read_text())
        names = (entry.partition("=")[0] for entry in spec["process"]["env"])
        return {name for name in names if name.startswith("CARD_")}

    async def bind(self, name):
        target = {"apiVersion": "v1", "kind": "Node", "name": self.name}
        body = {"apiVersion": "v1", "kind": "Binding", "target": target}
        body["metadata"] = {"name": name, "namespace": "default"}
        await self.api.create("pods/binding", body)

    def define(self, *names):
        """Write CDI devices example.com/card=NAME, each setting CARD_NAME=1."""
        devices = [
            {"name": name, "containerEdits": {"env": [f"CARD_{name.upper()}=1"]}} for name in names
        ]
        spec = {"cdiVersion": "0.6.0", "kind": "example.com/card", "devices": devices}
        (self.cdi / "example.com-card.json").write_text(json.dumps(spec))

    async def delete(self, name, grace=None):
        await self.api.delete(ObjectRef("pods", name, "default"), grace)

    async def annotate(self, name, value="1"):
        ref = ObjectRef("pods", name, "default")
        await self.api.patch(ref, Patch({"metadata": {"annotations": {"kick": value}}}))

    async def until(self, resource, name, holds, namespace=""):
        """The object, as soon as `holds(object)`."""
        selection = Selection(namespace, field_selector=f"metadata.name={name}")
        async for event in self.api.watch(resource, selection):
            if event.type in {"ADDED", "MODIFIED"} and holds(event.object):
                return event.object
        raise AssertionError(f"the watch on {resource} {name} ended")

    async def until_phase(self, phase, name="p"):
        return await self.until(
            "pods", name, lambda pod: pod["status"].get("phase") == phase, "default"
        )

    async def restarted(self, name, times):
        """The pod, running after that many restarts of its only container."""

        def holds(pod):
            statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
            return statuses[0].get("restartCount") == times and "running" in statuses[0]["state"]

        return await self.until("pods", name, holds, "default")

    async def until_waiting(self, reason, name="p", restarts=0):
        """The waiting state of the only container, once it has that reason after so many restarts."""

        def waiting(pod):
            (status,) = pod["status"].get("containerStatuses") or [{"state": {}}]
            found = status["state"].get("waiting", {}).get("reason")
            return found == reason and status["restartCount"] == restarts

        pod = await self.until("pods", name, waiting, "default")
        return pod["status"]["containerStatuses"][0]["state"]["waiting"]

    async def until_gone(self, resource, name, namespace="default"):
        selection = Selection(namespace, field_selector=f"metadata.name={name}")
        listing = await self.api.list(resource, selection)
        if not listing.items:
            return
        async for event in self.api.watch(resource, selection, listing.resource_version):
            if event.type == "DELETED":
                return

    async def event(self, reason, count=1):
        """The message of a pod event, once it was recorded `count` times."""
        async for seen in self.api.watch("events", Selection("default")):
            found = seen.object
            if found.get("reason") == reason and found.get("count", 0) >= count:
                return found["message"]
        raise AssertionError("the watch on events ended")

    async def log(self, name="p"):
        chunks = self.runtime.read("default", name, "main")
        return b"".join([chunk async for chunk in chunks]).decode()

    @staticmethod
    async def settle():
        await settle()


def _request(name):
    return {"name": name, "exactly": {"deviceClassName": "card.example.com"}}


@pytest.fixture
def base():
    """A directory short enough for Unix sockets (107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="kl") as folder:
        yield Path(folder)


@pytest.fixture
async def node(base):
    """A node in real time, with a quick look at the registry."""
    node = Node(base, RealClock())
    yield node
    await node.close()


@pytest.fixture
async def stepped(base):
    """A node whose time the test moves; `stepped.clock.advance(seconds)`."""
    node = Node(base, SteppedClock())
    yield node
    await node.close()


@pytest.fixture
async def plugins():
    """Starts plugins and stops them."""
    started = []

    async def start(node, *names, register=True, numa=0, **options):
        plugin = Plugin(node, **options)
        started.append(plugin)
        await plugin.start(*names, node=numa)
        if register:
            assert (await plugin.register())["registered"]
            await plugin.says("heard", "ListAndWatch")
        return plugin

    yield start
    for plugin in started:
        await plugin.stop()
