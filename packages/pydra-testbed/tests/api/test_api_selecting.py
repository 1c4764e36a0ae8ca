from __future__ import annotations

import pytest


@pytest.fixture
async def labelled(kube, samples):
    for name, labels in {
        "a": {"tier": "gold", "count": "10"},
        "b": {"tier": "silver", "count": "5"},
        "c": {},
    }.items():
        await kube.ok(
            "POST", kube.slices, samples("slice", metadata={"name": name, "labels": labels})
        )
    return kube


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("", "abc"),
        ("tier=gold", "a"),
        ("tier==gold", "a"),
        ("tier!=gold", "bc"),
        ("tier in (gold, silver)", "ab"),
        ("tier notin (gold)", "bc"),
        ("tier", "ab"),
        ("!tier", "c"),
        ("count>5", "a"),
        ("count<6", "b"),
        ("tier,tier notin (gold,bronze)", "b"),
        ("tier=gold,count=5", ""),
    ],
)
async def test_label_selectors_choose_as_in_kubernetes(labelled, selector, names):
    found = await labelled.ok("GET", labelled.slices, labelSelector=selector)
    assert "".join(item["metadata"]["name"] for item in found["items"]) == names


@pytest.mark.parametrize("selector", ["tier=a b", "=x", "tier in gold", "-a=b", "a==b==c"])
async def test_a_label_selector_that_does_not_parse_is_refused(labelled, selector):
    status = await labelled.refused("GET", labelled.slices, labelSelector=selector)
    assert (status["code"], status["message"][:28]) == (400, "unable to parse requirement:")


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("metadata.name=b", "b"),
        ("metadata.name!=b", "ac"),
        ("spec.nodeName=node1,spec.driver==gpu.example.com", "abc"),
        ("spec.driver=other.example.com", ""),
    ],
)
async def test_field_selectors_choose_by_the_fields_of_the_kind(labelled, selector, names):
    found = await labelled.ok("GET", labelled.slices, fieldSelector=selector)
    assert "".join(item["metadata"]["name"] for item in found["items"]) == names


async def test_a_field_without_an_index_is_refused_in_kubernetes_words(labelled):
    status = await labelled.refused("GET", labelled.slices, fieldSelector="spec.pool.name=x")
    assert status["code"] == 400
    assert status["message"] == (
        'Unable to find "resource.k8s.io/v1, Resource=resourceslices" that match label selector '
        '"", field selector "spec.pool.name=x": field label not supported: spec.pool.name'
    )
    status = await labelled.refused("GET", labelled.claims, fieldSelector="spec.x=y")
    assert '"spec.x" is not a known field selector: only "metadata.name"' in status["message"]


async def test_pods_are_found_by_node_and_phase(kube, samples):
    await kube.ok("POST", kube.pods, samples("pod"))
    binding = {"target": {"kind": "Node", "name": "node1"}}
    await kube.ok("POST", f"{kube.pods}/p1/binding", binding)
    await kube.ok("POST", kube.pods, samples("pod", metadata__name="p2"))

    async def names(selector: str) -> list[str]:
        found = await kube.ok("GET", "/api/v1/pods", fieldSelector=selector)
        return [item["metadata"]["name"] for item in found["items"]]

    assert await names("spec.nodeName=node1") == ["p1"]
    assert await names("spec.nodeName=") == ["p2"]
    assert await names("status.phase=Pending,metadata.namespace=default") == ["p1", "p2"]
    assert await names("metadata.namespace!=default") == []


async def test_a_boolean_field_that_is_absent_counts_as_false(kube):
    await kube.ok("POST", "/api/v1/nodes", {"metadata": {"name": "open"}})
    closed = {"metadata": {"name": "closed"}, "spec": {"unschedulable": True}}
    await kube.ok("POST", "/api/v1/nodes", closed)
    found = await kube.ok("GET", "/api/v1/nodes", fieldSelector="spec.unschedulable=false")
    assert [item["metadata"]["name"] for item in found["items"]] == ["open"]
