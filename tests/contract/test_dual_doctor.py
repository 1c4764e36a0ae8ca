"""`doctor` on nodes where a driver could serve extended resources: which mode holds and why, and what that mode needs."""

from __future__ import annotations

import socket

import grpc
import pytest
from doctor_node import CARDS, GROUP, examined, node, node_object

from pydra_core._legacy import mode_file
from pydra_core._legacy.mode import Mode
from pydra_core._proto import podresources_v1_pb2 as pb

__all__ = ["node"]

BOTH = CARDS.replace(
    "    async def prepare",
    """    def resources(self, inventory):
        return ()

    async def prepare""",
)
WITHOUT = Mode(dra=False, legacy=True, decided=True, why="the API server does not serve DRA")


@pytest.fixture
def both(node):
    node.program(BOTH)
    return node


def leave(node, mode):
    node.data.mkdir(parents=True, exist_ok=True)
    mode_file.write(node.data, mode)


async def test_a_driver_without_resources_hears_nothing_of_modes_unless_it_is_told_to_have_them(
    node,
):
    assert [r for r in (await node.doctor()).rows if r["check"].startswith("mode")] == []


async def test_before_a_process_served_the_mode_is_found_out_and_nothing_more_is_needed(both):
    done = await both.doctor()
    assert done.says("mode", "ok", "found out at the start")
    assert done.says("mode: device-plugins", "skipped", "DRA alone")
    assert done.says("mode: pod-resources", "skipped", "DRA alone")


@pytest.mark.parametrize(
    "settings",
    [{"ENABLE_DRA": "false"}, {"ENABLE_DRA": "false", "ENABLE_DEVICE_PLUGIN": "false"}],
)
async def test_settings_under_which_nothing_is_served_are_a_finding(both, settings):
    done = await both.doctor(**settings)
    assert done.says("mode", "finding", "nothing would be served")
    assert done.row("mode")["finding"] == "mode-settings"
    assert "ENABLE_DEVICE_PLUGIN=true" in done.fix("mode")


async def test_what_serving_extended_resources_needs_is_looked_for(both):
    done = await both.doctor(ENABLE_DEVICE_PLUGIN="true")
    folder = both.kubelet / "device-plugins"
    assert done.fix("mode: device-plugins") == f"mount {folder} into the pod by hostPath, writable"
    assert done.row("mode: pod-resources")["finding"] == "pod-resources"
    assert "mount the kubelet's pod-resources directory" in done.fix("mode: pod-resources")


async def test_a_kubelet_that_answers_is_told_with_what_it_knows(both):
    (both.kubelet / "device-plugins").mkdir()
    (both.kubelet / "pod-resources").mkdir()
    server = grpc.aio.server()

    async def listed(_request, _context):
        return pb.ListPodResourcesResponse(pod_resources=[pb.PodResources(name="a")])

    method = grpc.unary_unary_rpc_method_handler(
        listed, response_serializer=pb.ListPodResourcesResponse.SerializeToString
    )
    handlers = grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": method})
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"unix:{both.kubelet / 'pod-resources/kubelet.sock'}")
    await server.start()
    done = await both.doctor(ENABLE_DEVICE_PLUGIN="true")
    await server.stop(None)
    assert done.says("mode: device-plugins", "ok", "writable")
    assert done.says("mode: pod-resources", "ok", "1 pods, 0 devices")


async def test_the_mode_that_was_found_is_told_with_its_reason(both):
    leave(both, WITHOUT)
    done = await both.doctor()
    assert done.says("mode", "ok", f"extended resources (device plugin): {WITHOUT.why}")
    assert done.row("mode: device-plugins")["finding"] == "device-plugins"
    leave(both, Mode(dra=True, legacy=True, decided=True, why="ENABLE_DRA=true"))
    assert (await both.doctor()).says("mode", "ok", "side by side")


async def test_a_socket_that_is_hidden_on_purpose_is_no_finding(both):
    leave(both, WITHOUT)
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(both.data / "dra.sock"))
        served.listen()
        hidden = await both.doctor()
        (both.data / mode_file.FILE_NAME).write_text("{")
        shown = await both.doctor()
    assert hidden.says("socket: instances", "ok", "does not offer DRA")
    assert shown.row("socket: instances")["finding"] == "socket-half"


@pytest.mark.parametrize(("enable", "state"), [("auto", "skipped"), ("true", "finding")])
async def test_a_cluster_without_dra_is_a_finding_only_for_who_insists_on_it(both, enable, state):
    done = await examined(
        both,
        environ={"ENABLE_DRA": enable},
        version={"gitVersion": "v1.31.0"},
        resource_k8s_io=404 if enable == "auto" else GROUP,
        node_1=node_object("v1.31.0"),
    )
    assert done.row("api: server")["state"] == done.row("node: kubelet")["state"] == state
