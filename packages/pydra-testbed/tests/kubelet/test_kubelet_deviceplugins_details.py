"""What kubelet 1.36's device manager does at the edges: read in its `devicemanager` and `podresources`, not recorded."""

import asyncio
import gc
import json
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from pydra_testbed.clock import RealClock
from pydra_testbed.kubelet import KubeletFaults, KubeletSettings
from pydra_testbed.kubelet.calls import ignore_call
from pydra_testbed.kubelet.deviceplugins.endpoint import PluginClient
from pydra_testbed.kubelet.deviceplugins.server import PluginServer
from pydra_testbed.kubelet.drivers import RegistrationError
from pydra_testbed.objects import ObjectRef

from .conftest import Node
from .pluginprocess import FOUR, RESOURCE, amounts, asks, pod
from .test_kubelet_deviceplugins import QUICK, STILL, ask

OTHER = "probe.example.com/other"
RESTARTS = KubeletSettings(reconcile_period=0.01, node_update_period=0.01, crash_backoff=0.01)


def checkpoint(node):
    return node.root / "device-plugins" / "kubelet_internal_checkpoint"


def in_file(node):
    data = json.loads(checkpoint(node).read_text())["Data"]
    held = [
        (each["ResourceName"], each["ContainerName"]) for each in data["PodDeviceEntries"] or ()
    ]
    return held, sorted(data["RegisteredDevices"])


async def test_none_of_a_resource_is_asked_for_and_no_start_announced(node, plugins):
    await node.start(QUICK)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    await pod(node, "p", 0)
    await node.until_phase("Running")
    await plugin.tell("end")
    assert not {"Allocate", "PreStartContainer"} & set(plugin.heard())


async def test_a_container_does_not_start_again_once_its_plugin_is_gone_for_good(stepped, plugins):
    """Within five minutes a start that has to be announced fails for that; after them every start does."""
    await stepped.start(STILL)
    stepped.define(*FOUR)
    plugin = await plugins(stepped)
    await stepped.clock.asked(7.0)
    await stepped.clock.advance(7.0)
    await amounts(stepped, 4, 4)
    await pod(stepped, "p", 1, ("sh", "-c", f"cat {stepped.fifo}"))
    await stepped.until_phase("Running")
    await plugin.tell("end")
    await stepped.journal.saw("device plugin let go")
    stepped.fifo.write_text("")
    waiting = await stepped.until_waiting("CreateContainerConfigError")
    assert waiting["message"].startswith("device plugin PreStartContainer rpc failed with err: ")
    assert waiting["message"].endswith("has been stopped")
    await stepped.clock.advance(308.0)
    await amounts(stepped, 0, 0)
    await stepped.annotate("p")

    def says_so(found):
        (status,) = found["status"]["containerStatuses"]
        missing = f"endpoint not found in cache for a registered resource: {RESOURCE}"
        return status["state"].get("waiting", {}).get("message") == missing

    await stepped.until("pods", "p", says_so, "default")


async def test_a_container_whose_devices_the_kubelet_forgot_is_given_some_at_its_next_start(
    node, plugins
):
    """A lost file: the pod runs on, and its next start is allocated for like a new one."""
    await node.start(RESTARTS)
    node.define(*FOUR)
    plugin = await plugins(node, register=False)
    await plugin.tell(f"answer GetDevicePluginOptions {json.dumps({})}")
    assert (await plugin.register())["registered"]
    await amounts(node, 4, 4)
    await pod(node, "p", 1, ("sh", "-c", f"cat {node.fifo}"))
    await plugin.says("heard", "Allocate")
    await node.until_phase("Running")
    await node.stop()
    checkpoint(node).unlink()
    await node.start(RESTARTS)
    await plugin.tell("rebind")
    assert (await plugin.register())["registered"]
    await amounts(node, 4, 4)
    node.fifo.write_text("")
    await plugin.says("heard", "Allocate")
    await node.restarted("p", 1)
    assert in_file(node)[0] == [(RESOURCE, "main")]


async def test_what_a_container_got_is_in_the_file_once_it_got_everything(node, plugins):
    """The file is written once for a container; what is left of one that failed comes with the next list."""
    await node.start(QUICK)
    first = await plugins(node)
    second = await plugins(node, "x", name="other.sock", resource=OTHER)
    await amounts(node, 4, 4)
    await amounts(node, 1, 1, OTHER)
    await second.tell("fail Allocate")
    limits = {RESOURCE: "1", OTHER: "1"}
    both = {"resources": {"limits": limits, "requests": limits}}
    await node.pod("p", container=both)
    await first.says("heard", "Allocate")
    await second.says("heard", "Allocate")
    await node.until_phase("Failed")
    assert in_file(node) == ([], sorted([RESOURCE, OTHER]))


async def test_a_pod_whose_devices_cannot_be_written_down_is_refused(node, plugins):
    await node.start(QUICK)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    node.faults.fill_disk()
    await pod(node, "p")
    failed = await node.until_phase("Failed")
    assert failed["status"]["reason"] == "UnexpectedAdmissionError"
    assert (
        'failed to write checkpoint file "kubelet_internal_checkpoint": [Errno 28]'
        in failed["status"]["message"]
    )
    await plugin.says("heard", "Allocate")


async def test_a_plugin_that_has_listed_nothing_is_not_in_the_file(node, plugins):
    await node.start(QUICK)
    await plugins(node)
    await amounts(node, 4, 4)
    silent = await plugins(node, "x", name="other.sock", resource=OTHER, register=False)
    await silent.tell("silent")
    assert (await silent.register())["registered"]
    await silent.says("heard", "ListAndWatch")
    node.define(*FOUR)
    await pod(node, "p")
    await node.until_phase("Running")
    assert in_file(node) == ([(RESOURCE, "main")], [RESOURCE])


async def test_pod_resources_name_a_pod_that_is_over_to_who_asks_for_it_alone(node, plugins):
    await node.start(QUICK)
    node.define(*FOUR)
    await plugins(node)
    await amounts(node, 4, 4)
    await pod(node, "p", 1, ("true",), restartPolicy="Never")
    await node.until_phase("Succeeded")
    found = (await ask(node, "Get", pod_name="p", pod_namespace="default"))["pod_resources"]
    assert [each["device_ids"] for each in found["containers"][0]["devices"]] == [["pd-3"]]
    assert await ask(node, "List") == {}
    found = (await ask(node, "Get", pod_name="p", pod_namespace="default"))["pod_resources"]
    assert found["containers"] == [{"name": "main"}]


async def test_a_pod_that_was_deleted_by_force_holds_nothing_while_its_processes_still_end(
    node, plugins
):
    """kubernetes/kubernetes#104824: what it has is given again although it is still in use."""
    await node.start(QUICK)
    node.define(*FOUR)
    plugin = await plugins(node, "a")
    node.define("a")
    await amounts(node, 1, 1)
    script = f"trap 'cat {node.fifo}; exit' TERM; echo ready; while :; do sleep 0.01; done"
    await pod(node, "p", 1, ("sh", "-c", script))
    await node.until_phase("Running")
    assert await node.first_of_log("p", "main") == "ready"
    await plugin.says("heard", "Allocate")
    await node.api.delete(ObjectRef("pods", "p", "default"), 0)
    assert await node.event("Killing")
    assert await ask(node, "List") == {}
    with pytest.raises(grpc.aio.AioRpcError, match="pod p in namespace default not found"):
        await ask(node, "Get", pod_name="p", pod_namespace="default")
    await pod(node, "q")
    await plugin.says("heard", "Allocate")
    await node.until_phase("Running", "q")


async def test_a_device_that_its_plugin_no_longer_lists_counts_as_healthy(node, plugins):
    """What the kubelet does not know of a device it takes for well."""
    await node.start(QUICK)
    node.define(*FOUR)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    await pod(node, "p")
    await node.until_phase("Running")

    def says(health):
        entry = {"name": RESOURCE, "resources": [{"resourceID": "pd-3", "health": health}]}
        return lambda found: (
            found["status"]["containerStatuses"][0].get("allocatedResourcesStatus") == [entry]
        )

    await plugin.list(*FOUR, sick=["pd-3"])
    await node.until("pods", "p", says("Unhealthy"), "default")
    await plugin.list("pd-0")
    await amounts(node, 1, 1)
    await node.annotate("p")
    await node.until("pods", "p", says("Healthy"), "default")


class LingeringClock(RealClock):
    """Whoever sleeps when he is cancelled takes his time, until `go`."""

    def __init__(self):
        self.lingers, self.go = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds):
        try:
            await super().sleep(seconds)
        except asyncio.CancelledError:
            if self.go.is_set():
                raise
            self.lingers.set()
            await self.go.wait()
            raise


async def test_news_of_a_device_that_come_while_the_kubelet_ends_are_no_error(base, plugins):
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: errors.append(what))
    node = Node(base, LingeringClock())
    try:
        node.clock.go.set()
        await node.start(QUICK)
        node.define(*FOUR)
        plugin = await plugins(node)
        await amounts(node, 4, 4)
        await pod(node, "p")
        await node.until_phase("Running")
        node.clock.go.clear()
        stopping = asyncio.create_task(node.stop())
        await node.clock.lingers.wait()
        node.faults.fill_disk()
        await plugin.list(*FOUR, sick=["pd-3"])
        await node.journal.saw("device allocations not stored")
        node.clock.go.set()
        await stopping
        gc.collect()
        assert errors == []
    finally:
        node.clock.go.set()
        await node.close()


async def test_a_plugin_that_is_let_go_as_soon_as_it_answered_is_not_taken_for_connected(
    base, plugins
):
    """The end of an earlier one of its name comes between its answer and whoever waits for that."""

    class LetGo(PluginClient):
        async def connect(self):
            await super().connect()
            await server.drop("")

    told = []
    server = PluginServer(
        base,
        lambda name, socket: LetGo(name, socket, RealClock(), ignore_call, KubeletFaults()),
        lambda client: told.append(("connected", client.resource)),
        lambda resource, _devices: told.append(("listed", resource)),
        lambda resource: told.append(("disconnected", resource)),
    )
    plugin = await plugins(SimpleNamespace(root=base), register=False)
    with pytest.raises(RegistrationError, match="context canceled"):
        await server.register(RESOURCE, str(plugin.socket), ["v1beta1"])
    await server.close()
    assert told == [("disconnected", RESOURCE)]


async def test_a_socket_that_its_plugin_removes_while_the_kubelet_does_is_no_error(
    node, monkeypatch
):
    there = Path.is_socket

    def gone_after(path):
        found = there(path)
        if found:
            path.unlink()
        return found

    folder = node.root / "device-plugins"
    folder.mkdir(parents=True)
    left = await asyncio.start_unix_server(lambda *_: None, folder / "left.sock")
    monkeypatch.setattr(Path, "is_socket", gone_after)
    await node.start(QUICK)
    assert not (folder / "left.sock").exists()
    left.close()


async def test_a_sidecar_keeps_its_devices_and_is_named_among_pod_resources(node, plugins):
    """It takes over what an init container before it had; what it has is not used again behind it."""
    await node.start(QUICK)
    node.define("a", "b")
    plugin = await plugins(node, "a", "b")
    await amounts(node, 2, 2)
    first = {"name": "first", "image": "none", "command": ["true"], **asks(1)}
    side = {"name": "side", "image": "none", "command": ["sleep", "1000"], **asks(1)}
    await pod(node, "p", 1, initContainers=[first, side | {"restartPolicy": "Always"}])
    await node.until_phase("Running")
    given = []
    for _ in range(3):
        (asked,) = (await plugin.says("heard", "Allocate"))["request"]["container_requests"]
        given += asked["devices_ids"]
    assert given == ["b", "b", "a"]
    (listed,) = (await ask(node, "List"))["pod_resources"]
    assert [(each["name"], each["devices"][0]["device_ids"]) for each in listed["containers"]] == [
        ("side", ["b"]),
        ("main", ["a"]),
    ]


async def test_a_topology_without_nodes_hides_a_device_from_who_asks_what_there_is(node, plugins):
    """And from nobody else: it is counted, given to pods and told of them."""
    await node.start(QUICK)
    node.define("odd")
    plugin = await plugins(node)
    odd = {"ID": "odd", "health": "Healthy", "topology": {}}
    plain = {"ID": "plain", "health": "Unhealthy"}
    await plugin.tell(f"list {json.dumps([odd, plain])}")
    await amounts(node, 2, 1)
    assert await ask(node, "GetAllocatableResources") == {}
    await pod(node, "p")
    await node.until_phase("Running")
    (listed,) = (await ask(node, "List"))["pod_resources"]
    assert listed["containers"][0]["devices"] == [
        {"resource_name": RESOURCE, "device_ids": ["odd"]}
    ]
    await plugin.tell(f"list {json.dumps([odd, plain | {'health': 'Healthy'}])}")
    await amounts(node, 2, 2)
    (there,) = (await ask(node, "GetAllocatableResources"))["devices"]
    assert there == {"resource_name": RESOURCE, "device_ids": ["plain"]}
