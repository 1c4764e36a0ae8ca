"""Deployments, ReplicaSets and Jobs: how many pods there are, and how they are replaced."""

from __future__ import annotations

import pytest

from pydra_testbed.controllers.rollout import Replicas, limits, roll
from pydra_testbed.objects import ApiStatusError, ObjectRef, Patch


@pytest.fixture
async def roomy(acting):
    await acting.cluster.node()
    return acting


async def scale(acting, resource, replicas):
    ref = ObjectRef(resource, "w", "default")
    await acting.api.patch(ref, Patch({"spec": {"replicas": replicas}}))


async def test_a_replica_set_keeps_its_number_of_pods(roomy):
    await roomy.workload("replicasets", replicas=3)
    await roomy.play_kubelet()
    assert await roomy.pods() == [("n1", "one")] * 3
    assert (await roomy.status("replicasets"))["availableReplicas"] == 3
    name = (await roomy.cluster.list("pods"))[0]["metadata"]["name"]
    await roomy.cluster.delete("pods", name)
    await roomy.play_kubelet()
    await roomy.play_kubelet()
    assert await roomy.pods() == [("n1", "one")] * 3
    await scale(roomy, "replicasets", 1)
    await roomy.play_kubelet()
    assert await roomy.pods() == [("n1", "one")]
    events = [reason for reason, _ in await roomy.events("replicaset-controller")]
    assert (events.count("SuccessfulCreate"), events.count("SuccessfulDelete")) == (4, 2)


async def test_pods_go_with_their_deployment(roomy):
    await roomy.workload("deployments", replicas=2)
    await roomy.play_kubelet()
    assert await roomy.pods() == [("n1", "one")] * 2
    await roomy.cluster.delete("deployments", "w")
    await roomy.play_kubelet()
    await roomy.play_kubelet()
    assert await roomy.cluster.list("pods") == ()
    assert await roomy.cluster.list("replicasets") == ()


async def test_a_rolling_update_never_has_too_few_or_too_many_pods(roomy):
    await roomy.workload("deployments", replicas=4)
    await roomy.play_kubelet()
    await roomy.set_image("deployments", "two")
    for _ in range(8):
        await roomy.play_kubelet()
        status = await roomy.status("deployments")
        assert status["availableReplicas"] >= 3
        assert len(await roomy.pods()) <= 5
    assert await roomy.pods() == [("n1", "two")] * 4
    status = await roomy.status("deployments")
    assert (status["updatedReplicas"], status["replicas"], status["observedGeneration"]) == (
        4,
        4,
        2,
    )
    assert {c["type"]: c["reason"] for c in status["conditions"]} == {
        "Available": "MinimumReplicasAvailable",
        "Progressing": "NewReplicaSetAvailable",
    }
    sizes = {s["spec"]["replicas"] for s in await roomy.cluster.list("replicasets")}
    assert sizes == {0, 4}


async def test_going_back_to_a_template_uses_its_replica_set_again(roomy):
    await roomy.workload("deployments", replicas=1)
    for image in ("two", "one"):
        await roomy.play_kubelet()
        await roomy.set_image("deployments", image, nodeSelector={} if image == "one" else None)
        for _ in range(4):
            await roomy.play_kubelet()
    assert await roomy.pods() == [("n1", "one")]
    assert len(await roomy.cluster.list("replicasets")) == 2
    deployment = await roomy.cluster.get("deployments", "w")
    assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


async def test_recreate_lets_all_old_pods_go_first(roomy):
    await roomy.workload("deployments", replicas=2, strategy={"type": "Recreate"})
    await roomy.play_kubelet()
    await roomy.set_image("deployments", "two")
    await roomy.calm()
    assert await roomy.pods() == []
    for _ in range(3):
        await roomy.play_kubelet()
    assert await roomy.pods() == [("n1", "two")] * 2


async def test_old_replica_sets_are_kept_up_to_the_limit(roomy):
    await roomy.workload("deployments", replicas=1, revisionHistoryLimit=1)
    for image in ("two", "three", "four"):
        await roomy.play_kubelet()
        await roomy.set_image("deployments", image)
        for _ in range(4):
            await roomy.play_kubelet()
    assert len(await roomy.cluster.list("replicasets")) == 2


@pytest.mark.parametrize(
    ("new", "old", "bounds", "wanted"),
    [
        (Replicas("n", 0, 0), [Replicas("o", 4, 4)], limits(4, "25%", "25%"), {"n": 1}),
        (Replicas("n", 1, 0), [Replicas("o", 4, 4)], limits(4, "25%", "25%"), {"o": 3}),
        (Replicas("n", 1, 0), [Replicas("o", 4, 3)], limits(4, "25%", 0), {}),
        (Replicas("n", 1, 0), [Replicas("o", 4, 1)], limits(4, 1, 1), {"o": 3}),
        (Replicas("n", 2, 0), [Replicas("o", 3, 0)], limits(4, 1, 1), {}),
        (Replicas("n", 5, 5), [], limits(2, 1, 1), {"n": 2}),
        (Replicas("n", 0, 0), [Replicas("o", 1, 1)], limits(1, 0, 0), {"o": 0}),
    ],
)
def test_a_rollout_goes_as_far_as_its_limits_let_it(new, old, bounds, wanted):
    assert roll(new, old, bounds) == wanted


async def test_a_selector_that_does_not_find_the_template_s_pods_is_refused(acting):
    with pytest.raises(ApiStatusError, match="does not match template"):
        await acting.workload("deployments", selector={"matchLabels": {"app": "b"}})


async def make_job(acting, **spec):
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    await acting.cluster.create("jobs", "j", {"template": template, **spec})
    await acting.calm()


async def end(acting, phase, *, finished=False):
    """End every pod that runs; `finished` says when, as a kubelet would."""
    for pod in await acting.cluster.list("pods"):
        if pod["status"]["phase"] == "Pending":
            pod["status"]["phase"] = phase
            if finished:
                now = acting.cluster.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
                ended = {"exitCode": 1, "finishedAt": now}
                pod["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": ended}}]
            await acting.api.update("pods", pod, "status")
    await acting.calm(1)


async def test_a_job_is_complete_when_enough_pods_succeeded_each_counted_once(roomy):
    await make_job(roomy, parallelism=2, completions=3)
    assert (await roomy.status("jobs", "j"))["active"] == 2
    await end(roomy, "Succeeded")
    status = await roomy.status("jobs", "j")
    assert (status["succeeded"], status["active"]) == (2, 1)
    await end(roomy, "Succeeded")
    status = await roomy.status("jobs", "j")
    assert (status["succeeded"], "active" in status) == (3, False)
    assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert all("finalizers" not in p["metadata"] for p in await roomy.cluster.list("pods"))
    await roomy.calm(60)
    assert len(await roomy.cluster.list("pods")) == 3


async def test_failed_pods_are_replaced_after_a_growing_pause_until_the_limit(roomy):
    await make_job(roomy, backoffLimit=2)
    for number, pause in enumerate((10, 20), start=1):
        await end(roomy, "Failed", finished=True)
        assert (await roomy.status("jobs", "j"))["failed"] == number
        await roomy.calm(pause - 2)
        assert len(await roomy.cluster.list("pods")) == number
        await roomy.calm(2)
        assert len(await roomy.cluster.list("pods")) == number + 1
    await end(roomy, "Failed", finished=True)
    status = await roomy.status("jobs", "j")
    assert [(c["type"], c["reason"]) for c in status["conditions"]] == [
        ("FailureTarget", "BackoffLimitExceeded"),
        ("Failed", "BackoffLimitExceeded"),
    ]
