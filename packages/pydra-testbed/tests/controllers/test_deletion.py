"""Foreground and orphaning deletion, and namespaces with what they hold."""

from __future__ import annotations

from pydra_testbed.objects import ObjectRef


async def dependent(acting, name, owner, *, blocks=False, finalizers=None):
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks,
    }
    body = await acting.cluster.create("secrets", name)
    body["metadata"]["ownerReferences"] = [reference]
    body["metadata"]["finalizers"] = finalizers
    return await acting.api.update("secrets", body)


async def delete(acting, name, propagation):
    ref = ObjectRef("configmaps", name, "default")
    return await acting.api.delete(ref, propagation=propagation)


async def test_an_owner_deleted_in_the_foreground_waits_for_dependents_that_block_it(acting):
    owner = await acting.cluster.create("configmaps", "owner")
    await dependent(acting, "held", owner, blocks=True, finalizers=["x.io/a"])
    await acting.calm()
    waiting = await delete(acting, "owner", "Foreground")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await acting.calm()
    held = await acting.cluster.get("secrets", "held")
    assert held["metadata"]["deletionTimestamp"]
    assert await acting.cluster.get("configmaps", "owner") is not None
    held["metadata"]["finalizers"] = []
    await acting.api.update("secrets", held)
    await acting.calm()
    assert await acting.cluster.get("configmaps", "owner") is None


async def test_a_dependent_that_does_not_block_is_deleted_but_not_waited_for(acting):
    owner = await acting.cluster.create("configmaps", "owner")
    await dependent(acting, "held", owner, finalizers=["x.io/a"])
    await acting.calm()
    await delete(acting, "owner", "Foreground")
    await acting.calm()
    assert await acting.cluster.get("configmaps", "owner") is None
    held = await acting.cluster.get("secrets", "held")
    assert held["metadata"]["deletionTimestamp"]


async def test_an_orphaning_deletion_leaves_dependents_without_the_owner(acting):
    owner = await acting.cluster.create("configmaps", "owner")
    await dependent(acting, "child", owner, blocks=True)
    await acting.calm()
    await delete(acting, "owner", "Orphan")
    await acting.calm()
    assert await acting.cluster.get("configmaps", "owner") is None
    child = await acting.cluster.get("secrets", "child")
    assert "ownerReferences" not in child["metadata"]
    assert "deletionTimestamp" not in child["metadata"]


async def test_a_job_orphans_its_pods_unless_told_otherwise(acting):
    spec = {"template": {"spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"}}}
    await acting.cluster.create("jobs", "j", spec)
    await acting.calm()
    await acting.cluster.delete("jobs", "j")
    await acting.calm()
    (pod,) = await acting.cluster.list("pods")
    assert "ownerReferences" not in pod["metadata"]


async def test_a_namespace_is_emptied_after_five_seconds_pods_first(acting):
    cluster = acting.cluster
    await cluster.node()
    await acting.api.create("namespaces", {"metadata": {"name": "team"}})
    pod = {"containers": [{"name": "c"}], "nodeName": "n1"}
    await cluster.create("pods", "p", pod, namespace="team")
    await cluster.create("configmaps", "settings", namespace="team")
    await acting.calm()
    await acting.api.delete(ObjectRef("namespaces", "team"))
    await acting.calm(4.9)
    assert "deletionTimestamp" not in (await cluster.get("pods", "p", "team"))["metadata"]
    await acting.calm(0.1)
    assert (await cluster.get("pods", "p", "team"))["metadata"]["deletionGracePeriodSeconds"] == 30
    await acting.calm(5)
    assert await cluster.get("configmaps", "settings", "team") is not None
    await cluster.delete("pods", "p", grace=0, namespace="team")
    await acting.calm(5)
    assert await cluster.get("configmaps", "settings", "team") is None
    names = {body["metadata"]["name"] for body in (await acting.api.list("namespaces")).items}
    assert "team" not in names
