"""Device plugins beside the kubelet, on real sockets, each a process of its own."""

import asyncio
import json
import stat

import grpc
import grpc.aio
import pytest
from google.protobuf.json_format import MessageToDict

from pydra_core._proto import podresources_v1_pb2 as podresources
from pydra_testbed.kubelet import KubeletSettings
from pydra_testbed.objects import ObjectRef

from .pluginprocess import FOUR, RESOURCE, amounts, asks, pod, spec_of

QUICK = KubeletSettings(reconcile_period=0.01, node_update_period=0.01)
STILL = KubeletSettings(heartbeat_period=100_000, node_update_period=7.0)
"""For a clock that is moved by hand: nothing but what a test is about wakes up."""


async def ask(node, method, **fields):
    """One call of the pod-resources API, as a dict."""
    kinds = {
        "List": (podresources.ListPodResourcesRequest, podresources.ListPodResourcesResponse),
        "Get": (podresources.GetPodResourcesRequest, podresources.GetPodResourcesResponse),
        "GetAllocatableResources": (
            podresources.AllocatableResourcesRequest,
            podresources.AllocatableResourcesResponse,
        ),
    }
    request, response = kinds[method]
    async with grpc.aio.insecure_channel(f"unix:{node.root}/pod-resources/kubelet.sock") as channel:
        call = channel.unary_unary(
            f"/v1.PodResourcesLister/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return MessageToDict(await call(request(**fields)), preserving_proto_field_name=True)


async def test_a_plugin_is_dialled_back_before_register_returns_and_its_devices_reach_the_node(
    node, plugins
):
    await node.start(QUICK)
    plugin = await plugins(node, register=False)
    assert (await plugin.register())["registered"]
    options = await plugin.says("heard", "GetDevicePluginOptions")
    assert 4 < options["deadline"] <= 5
    assert (await plugin.says("heard", "ListAndWatch"))["deadline"] is None
    await amounts(node, 4, 4)
    await plugin.list(*FOUR, sick=["pd-3"])
    await amounts(node, 4, 3)


async def test_a_pod_gets_what_the_plugin_allocates_and_every_start_is_announced(node, plugins):
    await node.start(QUICK)
    node.define("pd-3", "pd-2")
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    made = await pod(node, "p", 2)
    await node.until_phase("Running")
    preferred = await plugin.says("heard", "GetPreferredAllocation")
    assert preferred["deadline"] is None
    (asked,) = preferred["request"]["container_requests"]
    assert (sorted(asked["available_deviceIDs"]), asked["allocation_size"]) == (list(FOUR), 2)
    allocate = await plugin.says("heard", "Allocate")
    assert allocate["deadline"] is None
    (given,) = allocate["request"]["container_requests"]
    assert sorted(given["devices_ids"]) == ["pd-2", "pd-3"]
    start = await plugin.says("heard", "PreStartContainer")
    assert 29 < start["deadline"] <= 30
    assert sorted(start["request"]["devices_ids"]) == ["pd-2", "pd-3"]
    spec = spec_of(node, made)
    env = dict(entry.split("=", 1) for entry in spec["process"]["env"])
    assert env["DP_PROBE"] == "pd-3,pd-2"
    assert {"CARD_PD-2", "CARD_PD-3"} <= env.keys()
    (mount,) = [m for m in spec["mounts"] if m["destination"] == "/probe-mount"]
    assert (mount["source"], mount["options"]) == ("/etc/cdi", ["rbind", "rprivate", "ro"])
    (device,) = [d for d in spec["linux"]["devices"] if d["path"] == "/dev/probe0"]
    assert (device["type"], device["major"], device["minor"]) == ("c", 1, 3)
    rule = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    assert rule in spec["linux"]["resources"]["devices"]
    assert spec["annotations"]["probe.example.com/devs"] == "pd-3+pd-2"


async def test_a_process_sees_the_variable_of_its_plugin_and_its_own_wins(node, plugins):
    await node.start(QUICK)
    node.define(*FOUR)
    await plugins(node)
    await amounts(node, 4, 4)
    command = ("sh", "-c", "echo $DP_PROBE")
    await pod(node, "p", 1, command, restartPolicy="Never")
    await node.until_phase("Succeeded")
    assert await node.log() == "pd-3\n"
    own = {**asks(1), "env": [{"name": "DP_PROBE", "value": "mine"}]}
    await node.pod("q", command, container=own, restartPolicy="Never")
    await node.until_phase("Succeeded", "q")
    assert await node.log("q") == "mine\n"


async def test_a_restarted_container_is_announced_again_and_not_allocated_again(node, plugins):
    settings = KubeletSettings(reconcile_period=0.01, node_update_period=0.01, crash_backoff=0.01)
    await node.start(settings)
    node.define(*FOUR)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    await pod(node, "p", 1, ("sh", "-c", "exit 1"))
    for _ in range(3):
        await plugin.says("heard", "PreStartContainer")
    await plugin.tell("end")
    assert plugin.heard().count("Allocate") == 1


async def test_a_failed_allocate_fails_the_pod_for_good_in_the_kubelet_s_words(node, plugins):
    await node.start(QUICK)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    await plugin.tell("fail Allocate")
    await pod(node, "p")
    failed = await node.until_phase("Failed")
    assert failed["status"]["reason"] == "UnexpectedAdmissionError"
    assert failed["status"]["message"] == (
        "Pod was rejected: Allocate failed due to rpc error: code = Internal desc = probe: injected "
        "Allocate error, which is unexpected"
    )


async def test_more_than_there_is_and_sick_devices_are_refused(node, plugins):
    await node.start(QUICK)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    await pod(node, "greedy", 5)
    failed = await node.until_phase("Failed", "greedy")
    assert f"unavailable for {RESOURCE}. Requested: 5, Available: 4" in failed["status"]["message"]
    await plugin.list(*FOUR, sick=FOUR)
    await amounts(node, 4, 0)
    await pod(node, "late")
    failed = await node.until_phase("Failed", "late")
    assert "no healthy devices present; cannot allocate" in failed["status"]["message"]


async def test_the_devices_of_a_pod_that_is_over_are_given_again(node, plugins):
    await node.start(QUICK)
    node.define("a")
    await plugins(node, "a")
    await amounts(node, 1, 1)
    for name in ("p", "q"):
        await pod(node, name, 1, ("true",), restartPolicy="Never")
        await node.until_phase("Succeeded", name)


async def test_init_containers_leave_their_devices_to_the_containers_behind_them(node, plugins):
    await node.start(QUICK)
    node.define("a", "b")
    plugin = await plugins(node, "a", "b")
    await amounts(node, 2, 2)
    first = {"name": "first", "image": "none", "command": ["true"], **asks(2)}
    await pod(node, "p", 2, initContainers=[first])
    await node.until_phase("Running")
    init = await plugin.says("heard", "Allocate")
    main = await plugin.says("heard", "Allocate")
    for call in (init, main):
        (asked,) = call["request"]["container_requests"]
        assert sorted(asked["devices_ids"]) == ["a", "b"]
    assert "GetPreferredAllocation" in plugin.heard()


async def test_what_an_init_container_has_is_in_the_file_until_the_next_list_and_not_among_pod_resources(
    node, plugins
):
    def in_file():
        file = node.root / "device-plugins" / "kubelet_internal_checkpoint"
        entries = json.loads(file.read_text())["Data"]["PodDeviceEntries"] or ()
        return [(entry["ContainerName"], entry["DeviceIDs"]) for entry in entries]

    await node.start(QUICK)
    node.define(*FOUR)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    first = {"name": "first", "image": "none", "command": ["sleep", "600"], **asks(1)}
    await node.pod("p", initContainers=[first])
    await plugin.says("heard", "PreStartContainer")
    assert in_file() == [("first", {"0": ["pd-3"]})]
    (listed,) = (await ask(node, "List"))["pod_resources"]
    assert listed["containers"] == [{"name": "main"}]
    await node.delete("p")
    await node.journal.saw("pod left the node")
    assert "pod_resources" not in await ask(node, "List")
    assert in_file() == [("first", {"0": ["pd-3"]})]
    await plugin.list(*FOUR, sick=["pd-0"])
    await amounts(node, 4, 3)
    assert in_file() == []


async def test_a_sick_device_shows_in_the_pod_that_has_it(node, plugins):
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

    await node.until("pods", "p", says("Healthy"), "default")
    await plugin.list(*FOUR, sick=["pd-3"])
    still = await node.until("pods", "p", says("Unhealthy"), "default")
    assert still["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (
            {"version": "v1alpha"},
            (
                'requested API version "v1alpha" is not supported by kubelet. '
                'Supported version is ["v1beta1"]'
            ),
        ),
        ({"resource": "notanextendedname"}, 'the ResourceName "notanextendedname" is invalid'),
    ],
)
async def test_a_registration_that_cannot_be_is_refused_in_the_kubelet_s_words(
    node, plugins, what, error
):
    await node.start(QUICK)
    plugin = await plugins(node, register=False)
    answer = await plugin.register(**what)
    assert (answer["code"], answer["error"]) == ("UNKNOWN", error)


async def test_an_endpoint_that_does_not_serve_is_given_up_after_ten_seconds(stepped, plugins):
    await stepped.start(STILL)
    plugin = await plugins(stepped, register=False)
    answer = asyncio.create_task(plugin.register(endpoint="missing.sock"))
    await stepped.clock.asked(10.0)
    await stepped.clock.advance(10.0)
    assert (await answer)["error"] == "failed to dial device plugin: context deadline exceeded"


async def test_a_resource_whose_plugin_is_gone_ends_five_minutes_later(stepped, plugins):
    await stepped.start(STILL)
    plugin = await plugins(stepped)
    await stepped.clock.asked(7.0)
    await stepped.clock.advance(7.0)
    await amounts(stepped, 4, 4)
    await plugin.tell("end")
    await stepped.journal.saw("device plugin let go")
    await stepped.clock.asked(7.0)
    await stepped.clock.advance(7.0)
    await amounts(stepped, 4, 0)
    await stepped.clock.advance(292.0)
    await amounts(stepped, 4, 0)
    await stepped.clock.advance(2.0)
    await amounts(stepped, 0, 0)
    assert plugin.heard() == ["GetDevicePluginOptions"]
    assert (await plugin.register())["registered"]
    await plugin.says("heard", "ListAndWatch")
    await stepped.clock.asked(7.0)
    await stepped.clock.advance(7.0)
    await amounts(stepped, 4, 4)


async def test_when_the_first_of_two_plugins_ends_the_second_one_is_cut_off_too(node, plugins):
    await node.start(QUICK)
    old = await plugins(node)
    new = await plugins(node, name="probe-dp2.sock")
    await amounts(node, 4, 4)
    await old.stop()
    await new.says("ended", "ListAndWatch")
    await amounts(node, 4, 0)
    assert (await new.register())["registered"]
    await amounts(node, 4, 4)


async def test_a_new_kubelet_removes_all_sockets_and_pods_keep_their_devices(node, plugins):
    settings = KubeletSettings(reconcile_period=0.01, node_update_period=0.01, crash_backoff=0.01)
    await node.start(settings)
    node.define(*FOUR)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    await pod(node, "p", 1, ("sh", "-c", f"cat {node.fifo}"))
    await node.until_phase("Running")
    kubelet_sock = node.root / "device-plugins" / "kubelet.sock"
    await node.stop()
    await plugin.says("ended", "ListAndWatch")
    assert stat.S_ISSOCK(kubelet_sock.stat().st_mode)
    before = kubelet_sock.stat().st_ctime_ns
    await node.start(settings)
    await amounts(node, 0, 0)
    assert kubelet_sock.stat().st_ctime_ns != before
    assert not plugin.socket.exists()
    await plugin.tell("rebind")
    assert (await plugin.register())["registered"]
    await amounts(node, 4, 4)
    (found,) = (await ask(node, "Get", pod_name="p", pod_namespace="default"))["pod_resources"][
        "containers"
    ]
    assert [entry["device_ids"] for entry in found["devices"]] == [["pd-3"]]
    await plugin.says("heard", "PreStartContainer")
    node.fifo.write_text("")
    await plugin.says("heard", "PreStartContainer")
    assert plugin.heard().count("Allocate") == 1


async def test_what_a_damaged_checkpoint_held_is_forgotten_with_a_warning(node, plugins):
    file = node.root / "device-plugins" / "kubelet_internal_checkpoint"
    file.parent.mkdir(parents=True)
    file.write_text('{"Data": {"PodDeviceEntries": null, "RegisteredDevices": {}}, "Checksum": 1}')
    await node.start(QUICK)
    await node.journal.saw("device allocations of the kubelet before not read")
    await plugins(node)
    await amounts(node, 4, 4)
    data = json.loads(file.read_text())["Data"]
    assert data == {"PodDeviceEntries": None, "RegisteredDevices": {RESOURCE: list(FOUR)}}


async def test_a_plugin_is_found_in_the_registry_of_drivers_and_let_go_with_its_socket(
    node, plugins
):
    await node.start(QUICK)
    plugin = await plugins(node, register=False)
    watched = node.root / "plugins_registry" / "probe-reg.sock"
    await plugin.tell(f"watched {watched}")
    assert (await plugin.says("registered"))["registered"]
    await amounts(node, 4, 4)
    watched.unlink()
    await amounts(node, 4, 0)


async def test_pod_resources_tell_who_has_which_device_and_what_there_is(node, plugins):
    await node.start(QUICK)
    node.define(*FOUR)
    await plugins(node, numa=1)
    await amounts(node, 4, 4)
    await pod(node, "p")
    await node.until_phase("Running")
    topology = {"nodes": [{"ID": "1"}]}
    held = {"resource_name": RESOURCE, "device_ids": ["pd-3"], "topology": topology}
    assert await ask(node, "List") == {
        "pod_resources": [
            {
                "name": "p",
                "namespace": "default",
                "containers": [{"name": "main", "devices": [held]}],
            }
        ]
    }
    there = await ask(node, "GetAllocatableResources")
    assert [entry["device_ids"] for entry in there["devices"]] == [[name] for name in FOUR]
    await node.delete("p")
    await node.journal.saw("pod left the node")
    assert await ask(node, "List") == {}
    with pytest.raises(grpc.aio.AioRpcError, match="pod p in namespace default not found"):
        await ask(node, "Get", pod_name="p", pod_namespace="default")


async def test_pod_resources_tell_of_claims_as_a_real_kubelet_did(node):
    await node.start(QUICK)
    await node.driver()
    node.define("c")
    await node.claiming_pod("pr1")
    await node.until_phase("Running", "pr1")
    found = (await ask(node, "Get", pod_name="pr1", pod_namespace="default"))["pod_resources"]
    (container,) = found["containers"]
    (claim,) = container["dynamic_resources"]
    assert (claim["claim_name"], claim["claim_namespace"]) == ("c", "default")
    (device,) = claim["claim_resources"]
    assert sorted(device) == ["cdi_devices", "device_name", "driver_name", "pool_name"]


async def test_pod_resources_answer_ten_calls_at_once_and_no_more(stepped):
    await stepped.start(STILL)
    for _ in range(10):
        await ask(stepped, "GetAllocatableResources")
    with pytest.raises(grpc.aio.AioRpcError, match="rejected by rate limit"):
        await ask(stepped, "List")
    await stepped.clock.advance(0.01)
    await ask(stepped, "List")


@pytest.mark.parametrize("announced", [False, True])
async def test_a_resource_that_a_claim_serves_is_not_allocated_but_its_start_is_announced(
    node, plugins, announced
):
    """Kubelet 1.36 looks at limits alone when a container starts (KEP-5004): with nothing to announce it fails."""
    await node.start(QUICK)
    plugin = await plugins(node, register=False)
    await plugin.tell(
        f"answer GetDevicePluginOptions {json.dumps({'pre_start_required': announced})}"
    )
    assert (await plugin.register())["registered"]
    await amounts(node, 4, 4)
    made = await node.pod("p", container=asks(1), bound=False)
    claim = await node.claim("c")
    await node.reserve("c", made)
    found = await node.api.get("pods", "p", "default")
    mapping = {"containerName": "main", "resourceName": RESOURCE, "requestName": "card"}
    found["status"]["extendedResourceClaimStatus"] = {
        "resourceClaimName": claim["metadata"]["name"],
        "requestMappings": [mapping],
    }
    await node.api.update("pods", found, "status")
    node.define("c")
    await node.driver()
    await node.bind("p")
    if announced:
        waiting = await node.until_waiting("CreateContainerConfigError")
        assert waiting["message"].startswith("no devices found allocated in local cache for pod ")
    else:
        await node.until_phase("Running")
    await plugin.tell("end")
    assert not {"Allocate", "PreStartContainer"} & set(plugin.heard())


async def test_a_node_that_is_deleted_gets_its_devices_back(stepped, plugins):
    await stepped.start(KubeletSettings(node_update_period=7.0))
    await plugins(stepped)
    await stepped.clock.asked(7.0)
    await stepped.clock.advance(7.0)
    await amounts(stepped, 4, 4)
    await stepped.api.delete(ObjectRef("nodes", stepped.name))
    for _ in range(31):
        await stepped.clock.asked(10)
        await stepped.clock.advance(10)
    await amounts(stepped, 4, 4)


async def test_advice_that_fails_fails_the_pod_and_a_failing_pre_start_is_tried_again(
    node, plugins
):
    settings = KubeletSettings(reconcile_period=0.01, node_update_period=0.01, sync_backoff=0.01)
    await node.start(settings)
    node.define(*FOUR)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    await plugin.tell("fail GetPreferredAllocation")
    await pod(node, "unadvised")
    failed = await node.until_phase("Failed", "unadvised")
    assert "GetPreferredAllocation rpc failed with err: rpc error" in failed["status"]["message"]
    await plugin.tell("heal GetPreferredAllocation")
    await plugin.tell("fail PreStartContainer")
    await pod(node, "p")
    waiting = await node.until_waiting("CreateContainerConfigError")
    assert waiting["message"] == (
        "device plugin PreStartContainer rpc failed with err: rpc error: code = Internal desc = "
        "probe: injected PreStartContainer error"
    )
    await plugin.tell("heal PreStartContainer")
    await node.until_phase("Running")


async def test_two_resources_of_one_container_add_up_and_the_first_setting_wins(node, plugins):
    await node.start(QUICK)
    node.define("a", "b")
    other = "probe.example.com/other"
    await plugins(node, "a")
    await plugins(node, "b", name="other.sock", resource=other, numa=None)
    await amounts(node, 1, 1)
    await amounts(node, 1, 1, other)
    both = {RESOURCE: "1", other: "1"}
    made = await node.pod("p", container={"resources": {"limits": both, "requests": both}})
    await node.until_phase("Running")
    env = dict(entry.split("=", 1) for entry in spec_of(node, made)["process"]["env"])
    assert {"CARD_A", "CARD_B"} <= env.keys()
    assert env["DP_PROBE"] == "a"
    await node.journal.saw("device plugins disagree about a container's setting")
    (found,) = (await ask(node, "Get", pod_name="p", pod_namespace="default"))["pod_resources"][
        "containers"
    ]
    assert [(each["resource_name"], "topology" in each) for each in found["devices"]] == [
        (RESOURCE, True),
        (other, False),
    ]


async def test_a_device_node_that_is_not_there_keeps_the_container_from_being_created(
    node, plugins
):
    await node.start(QUICK)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    missing = {"container_path": "/dev/x", "host_path": "/dev/missing", "permissions": "rw"}
    answer = {"container_responses": [{"devices": [missing]}]}
    await plugin.tell(f"answer Allocate {json.dumps(answer)}")
    await pod(node, "p")
    waiting = await node.until_waiting("CreateContainerError")
    assert waiting["message"].endswith("lstat /dev/missing: no such file or directory")
