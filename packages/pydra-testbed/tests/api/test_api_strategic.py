from __future__ import annotations

import pytest

STRATEGIC = "application/strategic-merge-patch+json"


@pytest.fixture
async def patched(kube, samples):
    """Patch a pod with two containers, some volumes, labels and finalizers."""
    containers = [
        {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]},
        {"name": "b", "image": "b:1", "ports": [{"containerPort": 80}]},
    ]
    meta = {"name": "p1", "labels": {"k": "v", "l": "w"}, "finalizers": ["x.example.com/a"]}
    spec = {"containers": containers}
    await kube.ok("POST", kube.pods, samples("pod") | {"metadata": meta, "spec": spec})

    async def patch(body):
        return await kube.ok("PATCH", f"{kube.pods}/p1", body, media=STRATEGIC)

    return patch


async def test_a_list_with_a_merge_key_merges_entry_by_entry(patched):
    entry = {"name": "a", "image": "a:2"}
    pod = await patched({"spec": {"containers": [entry]}})
    first, second = pod["spec"]["containers"]
    assert (first["image"], first["env"]) == ("a:2", [{"name": "X", "value": "1"}])
    assert second["image"] == "b:1"


async def test_a_list_without_a_merge_key_is_replaced(kube):
    node = {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    await kube.ok("POST", "/api/v1/nodes", node)
    body = {"spec": {"taints": [{"key": "b", "effect": "NoSchedule"}]}}
    changed = await kube.ok("PATCH", "/api/v1/nodes/n", body, media=STRATEGIC)
    assert [taint["key"] for taint in changed["spec"]["taints"]] == ["b"]


async def test_lists_of_names_grow_and_shrink_by_name(patched):
    grown = await patched({"metadata": {"finalizers": ["x.example.com/b"]}})
    assert grown["metadata"]["finalizers"] == ["x.example.com/a", "x.example.com/b"]
    gone = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.example.com/a"]}}
    assert (await patched(gone))["metadata"]["finalizers"] == ["x.example.com/b"]


async def test_directives_delete_replace_and_retain(patched):
    replaced = await patched({"metadata": {"labels": {"$patch": "replace", "only": "one"}}})
    assert replaced["metadata"]["labels"] == {"only": "one"}
    retained = await patched({"metadata": {"labels": {"$retainKeys": ["two"], "two": "2"}}})
    assert retained["metadata"]["labels"] == {"two": "2"}
    emptied = await patched({"metadata": {"labels": {"$patch": "delete"}}})
    assert "labels" not in emptied["metadata"]


async def test_an_order_is_kept_for_the_entries_it_names(kube):
    node = {"metadata": {"name": "n"}, "status": {"conditions": [{"type": t} for t in "abc"]}}
    await kube.ok("POST", "/api/v1/nodes", node)
    order = [{"type": "c"}, {"type": "a"}]
    body = {"status": {"$setElementOrder/conditions": order, "conditions": [{"type": "d"}]}}
    changed = await kube.ok("PATCH", "/api/v1/nodes/n/status", body, media=STRATEGIC)
    assert [entry["type"] for entry in changed["status"]["conditions"]] == ["c", "b", "a", "d"]


async def test_an_entry_of_a_keyed_list_can_be_deleted(kube):
    node = {"metadata": {"name": "n"}, "status": {"conditions": [{"type": t} for t in "abc"]}}
    await kube.ok("POST", "/api/v1/nodes", node)
    body = {"status": {"conditions": [{"type": "b", "$patch": "delete"}]}}
    changed = await kube.ok("PATCH", "/api/v1/nodes/n/status", body, media=STRATEGIC)
    assert [entry["type"] for entry in changed["status"]["conditions"]] == ["a", "c"]


@pytest.mark.parametrize(
    "body",
    [
        {"spec": {"containers": [{"image": "nameless"}]}},
        {"metadata": {"labels": {"$patch": "dance"}}},
        ["no object"],
    ],
)
async def test_a_patch_that_makes_no_sense_is_refused(kube, samples, body):
    await kube.ok("POST", kube.pods, samples("pod"))
    status = await kube.refused("PATCH", f"{kube.pods}/p1", body, media=STRATEGIC)
    assert status["code"] == 400


async def test_a_custom_resource_names_the_formats_it_takes(kube, computes):
    await kube.ok("POST", computes, {"metadata": {"name": "c"}})
    status = await kube.refused("PATCH", f"{computes}/c", {}, media=STRATEGIC)
    assert (status["code"], "apply-patch+yaml" in status["message"]) == (415, True)
