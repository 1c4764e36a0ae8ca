from __future__ import annotations

import asyncio

import pytest

from pydra_testbed.objects import ApiStatusError, ObjectRef, Patch, Preconditions, Selection


@pytest.fixture
def api(server):
    return server.local


async def test_both_doors_show_the_same_objects(api, kube, samples):
    local = await api.create("resourceclaims", samples("claim"), "default")
    assert await kube.ok("GET", f"{kube.claims}/c1") == local
    through_http = await kube.ok("POST", kube.slices, samples("slice"))
    assert await api.get("resourceslices", "s1") == through_http


async def test_both_doors_refuse_with_the_same_words(api, kube, samples):
    bad = samples("claim", metadata__name="Bad_Name")
    status = await kube.refused("POST", kube.claims, bad)
    with pytest.raises(ApiStatusError) as caught:
        await api.create("resourceclaims", bad, "default")
    error = caught.value
    assert (error.code, error.reason, error.message, error.details) == (
        status["code"],
        status["reason"],
        status["message"],
        status["details"],
    )


async def test_what_goes_in_and_comes_out_is_the_callers_own(api, samples):
    body = samples("slice")
    created = await api.create("resourceslices", body)
    body["spec"]["devices"].append("junk")
    created["spec"]["devices"].append("junk")
    (await api.list("resourceslices")).items[0]["spec"].clear()
    assert (await api.get("resourceslices", "s1"))["spec"]["devices"] == [{"name": "d0"}]
    assert "uid" not in body["metadata"]


async def test_a_list_names_the_version_a_watch_goes_on_from(api, samples):
    await api.create("resourceslices", samples("slice"))
    listed = await api.list("resourceslices")
    assert [item["metadata"]["name"] for item in listed.items] == ["s1"]
    await api.create("resourceslices", samples("slice", metadata__name="s2"))
    watch = api.watch("resourceslices", resource_version=listed.resource_version)
    event = await anext(watch)
    assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "s2")
    await watch.aclose()


async def test_a_watch_shows_what_is_there_and_what_happens(api, samples):
    await api.create("resourceslices", samples("slice"))
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for event in api.watch(
            "resourceslices", Selection(field_selector="spec.nodeName=node1")
        ):
            seen.append((event.type, event.object["metadata"]["name"]))
            if event.type == "DELETED":
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.sleep(0)
        await api.create(
            "resourceslices", samples("slice", metadata__name="far", spec__nodeName="node2")
        )
        await api.create("resourceslices", samples("slice", metadata__name="near"))
        await api.delete(ObjectRef("resourceslices", "near"))
    assert seen == [("ADDED", "s1"), ("ADDED", "near"), ("DELETED", "near")]


async def test_a_watcher_that_fell_behind_is_told_to_list_again(api, server, samples):
    listed = await api.list("resourceslices")
    await api.create("resourceslices", samples("slice"))
    server.forget_changes("resourceslices")
    with pytest.raises(ApiStatusError) as caught:
        await anext(api.watch("resourceslices", resource_version=listed.resource_version))
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


async def test_dropping_watches_ends_local_ones_too(api, server):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(anext(api.watch("resourceslices"), None))
        await asyncio.sleep(0)
        server.faults.drop_watches()
    assert task.result() is None


async def test_updates_and_patches_respect_versions_and_subresources(api, samples):
    claim = await api.create("resourceclaims", samples("claim", metadata__namespace="default"))
    result = {"request": "r", "driver": "d.example.com", "pool": "p", "device": "d0"}
    claim["status"] = {"allocation": {"devices": {"results": [result]}}}
    updated = await api.update("resourceclaims", claim, "status")
    with pytest.raises(ApiStatusError, match="has been modified"):
        await api.update("resourceclaims", claim, "status")
    ref = ObjectRef("resourceclaims", "c1", "default")
    patched = await api.patch(ref, Patch({"metadata": {"labels": {"a": "b"}}}))
    assert patched["status"] == updated["status"]
    cleared = await api.patch(ref, Patch({"status": {"allocation": None}}), "status")
    assert cleared["status"] == {}


async def test_pods_are_bound_through_their_subresource(api, samples):
    await api.create("pods", samples("pod"), "default")
    binding = {"metadata": {"name": "p1"}, "target": {"name": "node1"}}
    bound = await api.create("pods/binding", binding, "default")
    assert bound["spec"]["nodeName"] == "node1"
    with pytest.raises(ApiStatusError, match="already assigned"):
        await api.create("pods/binding", binding, "default")


async def test_deletes_respect_grace_and_preconditions(api, samples):
    await api.create("pods", samples("pod"), "default")
    await api.create(
        "pods/binding", {"metadata": {"name": "p1"}, "target": {"name": "n"}}, "default"
    )
    ref = ObjectRef("pods", "p1", "default")
    with pytest.raises(ApiStatusError, match="UID in the precondition"):
        await api.delete(ref, preconditions=Preconditions(uid="other"))
    marked = await api.delete(ref, grace_seconds=10)
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 10
    await api.delete(ref, grace_seconds=0)
    with pytest.raises(ApiStatusError, match='pods "p1" not found'):
        await api.get("pods", "p1", "default")


async def test_a_collection_is_deleted_by_selection(api, samples):
    for node in ("node1", "node2"):
        await api.create(
            "resourceslices", samples("slice", metadata__name=node, spec__nodeName=node)
        )
    await api.delete_collection("resourceslices", Selection(field_selector="spec.nodeName=node1"))
    left = await api.list("resourceslices")
    assert [item["metadata"]["name"] for item in left.items] == ["node2"]


async def test_kinds_are_found_by_plural_with_or_without_their_group(api, samples):
    await api.create("resourceslices.resource.k8s.io", samples("slice"))
    assert (await api.get("resourceslices", "s1"))["kind"] == "ResourceSlice"
    await api.create("events", {"metadata": {"name": "e"}, "message": "m"}, "default")
    assert (await api.get("events.events.k8s.io", "e", "default"))["note"] == "m"
    with pytest.raises(ApiStatusError, match='resource "unicorns" is not served'):
        await api.list("unicorns")
    with pytest.raises(ApiStatusError, match="a namespace must be given"):
        await api.get("pods", "p1")
