from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pydra_testbed.api import ApiServer

BINDING = {"target": {"kind": "Node", "name": "node1"}}


async def test_a_new_pod_is_pending_and_filled_in(kube, samples):
    limits = {"example.com/gpu": "1"}
    containers = [{"name": "c", "image": "i:1", "resources": {"limits": limits}}]
    pod = await kube.ok("POST", kube.pods, samples("pod", spec__containers=containers))
    assert pod["status"] == {"phase": "Pending"}
    spec = pod["spec"]
    assert (spec["restartPolicy"], spec["schedulerName"]) == ("Always", "default-scheduler")
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["containers"][0]["resources"] == {"limits": limits, "requests": limits}
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"


async def test_limits_are_requests_where_none_are_given(kube, samples):
    resources = {"limits": {"cpu": "2", "example.com/gpu": "1"}, "requests": {"cpu": "1"}}
    containers = [{"name": "c", "image": "i:1", "resources": resources}]
    pod = await kube.ok("POST", kube.pods, samples("pod", spec__containers=containers))
    given = pod["spec"]["containers"][0]["resources"]["requests"]
    assert given == {"cpu": "1", "example.com/gpu": "1"}


async def test_binding_gives_a_pod_its_node_once(kube, samples):
    await kube.ok("POST", kube.pods, samples("pod"))
    answer = await kube.ok("POST", f"{kube.pods}/p1/binding", BINDING)
    assert answer["status"] == "Success"
    pod = await kube.ok("GET", f"{kube.pods}/p1")
    assert pod["spec"]["nodeName"] == "node1"
    scheduled = {"type": "PodScheduled", "status": "True"}
    assert scheduled.items() <= pod["status"]["conditions"][0].items()
    status = await kube.refused("POST", f"{kube.pods}/p1/binding", BINDING)
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert 'pod p1 is already assigned to node "node1"' in status["message"]


async def test_a_binding_without_a_node_or_pod_is_refused(kube, samples):
    await kube.ok("POST", kube.pods, samples("pod"))
    assert (await kube.refused("POST", f"{kube.pods}/p1/binding", {}))["code"] == 400
    assert (await kube.refused("POST", f"{kube.pods}/other/binding", BINDING))["code"] == 404
    gated = samples("pod", metadata__name="gated", spec__schedulingGates=[{"name": "x.io/wait"}])
    await kube.ok("POST", kube.pods, gated)
    status = await kube.refused("POST", f"{kube.pods}/gated/binding", BINDING)
    assert "schedulingGates" in status["message"]


async def test_a_running_pod_gets_its_grace_and_goes_when_the_kubelet_says_so(kube, samples):
    await kube.ok("POST", kube.pods, samples("pod"))
    await kube.ok("POST", f"{kube.pods}/p1/binding", BINDING)
    marked = await kube.ok("DELETE", f"{kube.pods}/p1")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    shorter = await kube.ok("DELETE", f"{kube.pods}/p1", {"gracePeriodSeconds": 5})
    assert shorter["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:05Z"
    longer = await kube.ok("DELETE", f"{kube.pods}/p1", {"gracePeriodSeconds": 60})
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 5
    await kube.ok("DELETE", f"{kube.pods}/p1", {"gracePeriodSeconds": 0})
    assert (await kube.call("GET", f"{kube.pods}/p1")).status == 404


async def test_pods_without_a_node_or_with_their_work_done_go_at_once(kube, samples):
    await kube.ok("POST", kube.pods, samples("pod"))
    await kube.ok("DELETE", f"{kube.pods}/p1")
    await kube.ok("POST", kube.pods, samples("pod", metadata__name="p2"))
    await kube.ok("POST", f"{kube.pods}/p2/binding", BINDING)
    done = samples("pod", metadata__name="p2", status={"phase": "Succeeded"})
    await kube.ok("PUT", f"{kube.pods}/p2/status", done)
    await kube.ok("DELETE", f"{kube.pods}/p2")
    assert (await kube.ok("GET", kube.pods))["items"] == []


async def test_finalizers_hold_a_pod_beyond_its_grace(kube, samples):
    held = samples("pod", metadata__finalizers=["x.io/hold"])
    await kube.ok("POST", kube.pods, held)
    await kube.ok("DELETE", f"{kube.pods}/p1")
    free = {"metadata": {"finalizers": None}}
    await kube.ok("PATCH", f"{kube.pods}/p1", free, media="application/merge-patch+json")
    assert (await kube.call("GET", f"{kube.pods}/p1")).status == 404


async def test_a_pods_spec_changes_only_where_kubernetes_allows_it(kube, samples):
    created = await kube.ok("POST", kube.pods, samples("pod"))
    created["spec"]["containers"][0]["image"] = "other"
    created["spec"]["tolerations"] = [{"operator": "Exists"}]
    changed = await kube.ok("PUT", f"{kube.pods}/p1", created)
    assert changed["metadata"]["generation"] == 2
    changed["spec"]["nodeName"] = "sneaky"
    status = await kube.refused("PUT", f"{kube.pods}/p1", changed)
    assert "pod updates may not change fields other than" in status["message"]


class Tape:
    """A log source that remembers what was asked."""

    def __init__(self) -> None:
        self.asked = []

    async def read(self, namespace, name, container, *, follow) -> AsyncIterator[bytes]:
        self.asked.append((namespace, name, container, follow))
        if container == "silent":
            raise LookupError("container silent has not started")
        for line in (b"one\n", b"two\n"):
            yield line


@pytest.fixture
async def taped(clock, connect, samples):
    tape = Tape()
    async with connect(ApiServer(clock, logs=tape)) as kube:
        await kube.ok("POST", kube.pods, samples("pod"))
        containers = [{"name": "main", "image": "i"}, {"name": "silent", "image": "i"}]
        two = samples("pod", metadata__name="two", spec__containers=containers)
        await kube.ok("POST", kube.pods, two)
        yield kube, tape


async def test_a_pods_log_is_read_through_the_injected_source(taped):
    kube, tape = taped
    reply = await kube.call("GET", f"{kube.pods}/p1/log")
    assert (reply.status, reply.body["text"]) == (200, "one\ntwo\n")
    assert reply.headers["Content-Type"] == "text/plain"
    await kube.call("GET", f"{kube.pods}/two/log", container="main", follow="true")
    assert tape.asked == [("default", "p1", "c", False), ("default", "two", "main", True)]


async def test_a_log_that_cannot_be_read_is_explained(taped):
    kube, _ = taped
    answers = [
        await kube.refused("GET", f"{kube.pods}/two/log"),
        await kube.refused("GET", f"{kube.pods}/two/log", container="nope"),
        await kube.refused("GET", f"{kube.pods}/two/log", container="silent"),
        await kube.refused("GET", f"{kube.pods}/missing/log"),
    ]
    assert [answer["code"] for answer in answers] == [400, 400, 400, 404]
    assert "choose one of: ['main', 'silent']" in answers[0]["message"]
    assert "container silent has not started" in answers[2]["message"]


async def test_a_server_without_logs_says_so(kube, samples):
    await kube.ok("POST", kube.pods, samples("pod"))
    status = await kube.refused("GET", f"{kube.pods}/p1/log")
    assert "this API server has no source of logs" in status["message"]
