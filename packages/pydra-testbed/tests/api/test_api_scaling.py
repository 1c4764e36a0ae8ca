from __future__ import annotations

import pytest

MERGE = "application/merge-patch+json"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture
async def scale(kube):
    """The path of a deployment's scale."""
    labels = {"app": "web"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    }
    await kube.ok("POST", DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})
    return f"{DEPLOYMENTS}/web/scale"


async def test_a_scale_shows_and_sets_replicas(kube, scale):
    read = await kube.ok("GET", scale)
    assert (read["kind"], read["spec"], read["status"]) == (
        "Scale", {"replicas": 1}, {"replicas": 0, "selector": "app=web"},
    )  # fmt: skip
    read["spec"]["replicas"] = 4
    assert (await kube.ok("PUT", scale, read))["spec"] == {"replicas": 4}
    stale = await kube.refused("PUT", scale, read)
    assert stale["code"] == 409
    patched = await kube.ok("PATCH", scale, {"spec": {"replicas": 0}}, media=MERGE)
    assert patched["spec"] == {"replicas": 0}
    deployment = await kube.ok("GET", f"{DEPLOYMENTS}/web")
    assert (deployment["spec"]["replicas"], deployment["metadata"]["generation"]) == (0, 3)
    entries = deployment["metadata"]["managedFields"]
    assert [e.get("subresource") for e in entries if "f:replicas" in e["fieldsV1"]["f:spec"]] == [
        "scale"
    ]


@pytest.mark.parametrize("replicas", [-1, "two", True, 1.5])
async def test_replicas_that_are_no_number_are_refused(kube, scale, replicas):
    body = {"spec": {"replicas": replicas}}
    assert (await kube.refused("PUT", scale, body))["code"] == 400
    assert (await kube.refused("PUT", scale, {"spec": []}))["code"] == 400


async def test_a_scale_takes_merge_patches_alone(kube, scale):
    media = "application/json-patch+json"
    assert (await kube.refused("PATCH", scale, [], media=media))["code"] == 415


async def test_a_custom_resource_scales_by_its_own_paths(kube, definition):
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.there"}
    definition["spec"]["versions"][0]["subresources"] = {"scale": scale}
    await kube.ok("POST", kube.definitions, definition)
    path = "/apis/example.com/v1/namespaces/default/computes"
    await kube.ok("POST", path, {"metadata": {"name": "c"}, "spec": {"size": 2}})
    told = await kube.ok("PATCH", f"{path}/c/scale", {"spec": {"replicas": 5}}, media=MERGE)
    assert (told["spec"], told["status"]) == ({"replicas": 5}, {"replicas": 0})
    assert (await kube.ok("GET", f"{path}/c"))["spec"]["size"] == 5
    too_many = {"spec": {"replicas": 50}}
    assert (await kube.refused("PATCH", f"{path}/c/scale", too_many, media=MERGE))["code"] == 422
