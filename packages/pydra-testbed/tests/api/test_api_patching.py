from __future__ import annotations

import pytest

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"


async def test_a_merge_patch_sets_removes_and_replaces_lists(kube, samples):
    await kube.ok("POST", kube.slices, samples("slice", metadata__labels={"a": "1", "b": "2"}))
    patched = await kube.ok(
        "PATCH",
        f"{kube.slices}/s1",
        {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"devices": [{"name": "x"}]}},
        media=MERGE,
    )
    assert patched["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert patched["spec"]["devices"] == [{"name": "x"}]
    assert patched["metadata"]["generation"] == 2


async def test_a_patch_is_validated_like_any_write(kube, samples):
    await kube.ok("POST", kube.slices, samples("slice"))
    bad = {"spec": {"devices": [{"name": "Not A Label"}]}}
    status = await kube.refused("PATCH", f"{kube.slices}/s1", bad, media=MERGE)
    assert (status["code"], status["reason"]) == (422, "Invalid")


async def test_a_patch_that_names_a_version_conflicts_when_it_is_stale(kube, samples):
    await kube.ok("POST", kube.slices, samples("slice"))
    stale = {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}}
    assert (await kube.refused("PATCH", f"{kube.slices}/s1", stale, media=MERGE))["code"] == 409


@pytest.mark.parametrize(
    ("operations", "data"),
    [
        ([{"op": "add", "path": "/data/c", "value": "3"}], {"a": "1", "b~/": "2", "c": "3"}),
        ([{"op": "remove", "path": "/data/b~0~1"}], {"a": "1"}),
        ([{"op": "replace", "path": "/data/a", "value": "9"}], {"a": "9", "b~/": "2"}),
        ([{"op": "move", "from": "/data/a", "path": "/data/z"}], {"b~/": "2", "z": "1"}),
        ([{"op": "copy", "from": "/data/a", "path": "/data/z"}], {"a": "1", "b~/": "2", "z": "1"}),
        (
            [
                {"op": "test", "path": "/data/a", "value": "1"},
                {"op": "remove", "path": "/data/a"},
            ],
            {"b~/": "2"},
        ),
    ],
)
async def test_a_json_patch_is_applied_step_by_step(kube, operations, data):
    await kube.ok("POST", kube.maps, {"metadata": {"name": "m"}, "data": {"a": "1", "b~/": "2"}})
    patched = await kube.ok("PATCH", f"{kube.maps}/m", operations, media=JSON)
    assert patched["data"] == data


async def test_a_json_patch_reaches_into_lists(kube, samples):
    await kube.ok("POST", kube.slices, samples("slice"))
    patched = await kube.ok(
        "PATCH",
        f"{kube.slices}/s1",
        [
            {"op": "add", "path": "/spec/devices/-", "value": {"name": "last"}},
            {"op": "add", "path": "/spec/devices/0", "value": {"name": "first"}},
            {"op": "remove", "path": "/spec/devices/1"},
            {"op": "replace", "path": "/spec/devices/1/name", "value": "second"},
        ],
        media=JSON,
    )
    assert [device["name"] for device in patched["spec"]["devices"]] == ["first", "second"]


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([{"op": "remove", "path": "/data/nope"}], 422),
        ([{"op": "test", "path": "/data/a", "value": "other"}], 422),
        ([{"op": "add", "path": "/data/x/y/z", "value": 1}], 422),
        ([{"op": "dance", "path": "/data"}], 400),
        ([{"op": "add", "path": "data", "value": 1}], 400),
        ([{"op": "add", "path": "/data/x"}], 400),
        ({"op": "add"}, 400),
    ],
)
async def test_a_json_patch_that_does_not_fit_changes_nothing(kube, operations, code):
    before = await kube.ok("POST", kube.maps, {"metadata": {"name": "m"}, "data": {"a": "1"}})
    status = await kube.refused("PATCH", f"{kube.maps}/m", operations, media=JSON)
    assert status["code"] == code
    assert await kube.ok("GET", f"{kube.maps}/m") == before


async def test_a_patch_of_the_status_leaves_the_rest_alone(kube, samples):
    await kube.ok("POST", kube.pods, samples("pod"))
    patched = await kube.ok(
        "PATCH",
        f"{kube.pods}/p1/status",
        {"status": {"phase": "Running"}, "metadata": {"labels": {"a": "b"}}},
        media=MERGE,
    )
    assert patched["status"]["phase"] == "Running"
    assert "labels" not in patched["metadata"]
