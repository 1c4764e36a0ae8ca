"""The chart as tests see it: golden files, and a release of it on a testbed, installed as Helm would."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from pydra_testbed.janitor import VARIABLE
from pydra_testbed.objects import ApiStatusError, ObjectRef

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from charts.cases import cases  # noqa: E402 (a tool's folder is on the path from here on)
from charts.golden import INSTALL_ORDER, is_hook, kept  # noqa: E402 (same)

ACCOUNT = "drivers/kitchen-dra-driver"


@pytest.fixture(scope="session", params=[case.name for case in cases(ROOT)])
def rendered(request):
    """The objects of each golden file in turn."""
    return kept(ROOT, request.param)


class Release:
    """What `helm install`, `helm upgrade`, `helm test` and `helm uninstall` do with a chart's objects."""

    def __init__(self, server, objects):
        self.api, self._resource_of = server.local, server.resource_of
        self.objects = objects

    def made(self):
        """What belongs to the release, in Helm's order of installation."""
        return [body for body in self.objects if not is_hook(body)]

    async def install(self):
        for body in self.made():
            ref = self._ref(body)
            await self.api.create(ref.resource, body, ref.namespace)

    async def upgrade(self, objects):
        self.objects = objects
        for body in self.made():
            ref = self._ref(body)
            now = await self.api.get(ref.resource, ref.name, ref.namespace)
            version = now["metadata"]["resourceVersion"]
            metadata = {**body["metadata"], "resourceVersion": version}
            await self.api.update(ref.resource, {**body, "metadata": metadata})

    async def test(self):
        """Make the objects of the hook; returns the pod's name."""
        for body in self.objects:
            if is_hook(body):
                ref = self._ref(body)
                await self.api.create(ref.resource, body, ref.namespace)
        return ref.name

    async def uninstall(self):
        """In Helm's order, which is about the other way round; kinds it does not know come last here too."""
        known = [body for body in self.made() if body["kind"] in INSTALL_ORDER]
        unknown = [body for body in self.made() if body["kind"] not in INSTALL_ORDER]
        for body in (*reversed(known), *unknown):
            await self.api.delete(self._ref(body), propagation="Background")

    async def left(self):
        """What of the release is still there."""
        found = []
        for ref in map(self._ref, self.made()):
            with suppress(ApiStatusError):
                found.append(await self.api.get(ref.resource, ref.name, ref.namespace))
        return found

    def _ref(self, body):
        namespace = body["metadata"].get("namespace", "")
        resource = self._resource_of(body["apiVersion"], body["kind"])
        return ObjectRef(resource, body["metadata"]["name"], namespace)


@pytest.fixture
async def placed(testbed):
    """The objects of a golden file, whose folders become those of the testbed's node.

    Nothing else is changed but what a process in place of a container lacks: an image's programs, an address of
    its own, the mounted token.
    """
    (node,) = testbed.nodes.values()
    await testbed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "drivers"}})
    await testbed.until("nodes", node.name, bool, namespace="")

    async def place(case, account, program, **environ):
        kubeconfig = str(await testbed.cluster.account_kubeconfig(node, account))
        places = {
            "/data/kubeconfig": kubeconfig,
            "/data/kubelet": str(node.kubelet_root),
            "/var/lib/kubelet": str(node.kubelet_root),
            "/data/cdi": str(node.cdi_dir),
            "/var/run/cdi": str(node.cdi_dir),
            "$(POD_IP):9090": "127.0.0.1:0",
        }
        text = json.dumps(kept(ROOT, case))
        for there, here in places.items():
            text = text.replace(there, here)
        objects = json.loads(text)
        own = {VARIABLE: str(testbed.cluster.root), "KUBECONFIG": kubeconfig, **environ}
        for container in containers(objects):
            container["command"] = [*program, *container["command"][1:]]
            container["env"] += [{"name": name, "value": value} for name, value in own.items()]
        return objects

    return place


def containers(objects):
    """The driver's and the publisher's."""
    for body in objects:
        if body["kind"] in ("DaemonSet", "Deployment"):
            yield from body["spec"]["template"]["spec"]["containers"]


@pytest.fixture
def chart_on(placed):
    """The chart as an admin has it who says where the kubelet's folders are."""

    async def make(**environ):
        return await placed("elsewhere", ACCOUNT, [sys.executable, "-m", "pydra_pizza"], **environ)

    return make


@pytest.fixture
async def release(testbed, chart_on):
    """A release that is installed and serves."""
    made = Release(testbed.server, await chart_on())
    await made.install()
    await serves(testbed)
    return made


async def serves(testbed, generation=1):
    """Wait until the DaemonSet of that generation is rolled out, and its newest driver is registered and publishes."""

    def is_done(body):
        status = body.get("status") or {}
        return (
            status.get("observedGeneration") == generation
            and status["updatedNumberScheduled"] == status["numberAvailable"] == 1
        )

    await testbed.until("daemonsets", "kitchen-dra-driver", is_done, namespace="drivers")
    await testbed.until("resourceslices", "laptop-dra.pizza-0000", bool, namespace="")


@pytest.fixture
def serving():
    return serves


@pytest.fixture
def new_release():
    """Make a release of objects, not yet installed."""
    return Release
