"""Bodies that make no sense are refused with a Status; none of them breaks a request."""

from __future__ import annotations

import copy
import random

import pytest

JUNK = [
    None, True, -1, 1.5, "", "x", [], {}, [None], {"a": None}, 10**30, [[]], {"": {}},
    {"$patch": "delete"}, {"name": 1}, ["x", "x"], {'k:{"name":"a"}': {}}, {".": {}},
]  # fmt: skip
KEYS = [
    "$patch", "$retainKeys", "$setElementOrder/containers", "finalizers", "managedFields", "items",
    "metadata", "properties", "required", "spec", "type", "x-kubernetes-list-type",
    "x-kubernetes-validations",
]  # fmt: skip
APPLY = "application/apply-patch+yaml"
FORMATS = {
    "POST": "application/json",
    "PUT": "application/json",
    "APPLY": APPLY,
    "STATUS": APPLY,
    "MERGE": "application/merge-patch+json",
    "STRATEGIC": "application/strategic-merge-patch+json",
}


class Spoiler:
    """Changes bodies at random, the same way in every run."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def spoil(self, value):
        if self.dice.random() < 0.1:
            return copy.deepcopy(self.dice.choice(JUNK))
        if isinstance(value, list):
            return [self.spoil(item) for item in value]
        if not isinstance(value, dict):
            return value
        kept = {k: self.spoil(v) for k, v in value.items() if self.dice.random() > 0.05}
        if self.dice.random() < 0.1:
            kept[self.dice.choice(KEYS)] = copy.deepcopy(self.dice.choice(JUNK))
        return kept


@pytest.fixture
def bodies(definition, samples):
    """Collections with a sound body for each."""
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": samples("pod")["spec"]}
    deployment = {"selector": {"matchLabels": labels}, "template": template, "replicas": 1}
    spec = {"size": 2, "parts": [{"id": "a"}], "tags": ["x"], "free": {"a": {"b": [1]}}}
    devices = [{"driver": "a.example.com", "pool": "p", "device": "d"}]
    node = {"conditions": [{"type": "Ready", "status": "True"}]}
    core, resource = "/api/v1", "/apis/resource.k8s.io/v1"
    return {
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": definition,
        "/apis/example.com/v1/namespaces/default/computes": {
            "metadata": {"name": "c"},
            "spec": spec,
        },
        f"{core}/namespaces/default/pods": samples("pod", metadata__finalizers=["example.com/x"]),
        f"{core}/nodes": {"metadata": {"name": "n"}, "status": node},
        f"{resource}/namespaces/default/resourceclaims": samples("claim")
        | {"status": {"devices": devices}},
        f"{resource}/resourceslices": samples("slice"),
        "/apis/apps/v1/namespaces/default/deployments": {
            "metadata": {"name": "d"},
            "spec": deployment,
        },
    }


@pytest.mark.parametrize("seed", range(3))
async def test_no_body_breaks_a_request(kube, bodies, seed):
    for path, body in bodies.items():
        await kube.ok("POST", path, body)
    spoiler = Spoiler(seed)
    for _ in range(250):
        path, how = spoiler.dice.choice(list(bodies)), spoiler.dice.choice(list(FORMATS))
        one = f"{path}/{bodies[path]['metadata']['name']}"
        target = path if how == "POST" else f"{one}/status" if how == "STATUS" else one
        method = how if how in {"POST", "PUT"} else "PATCH"
        query = {"fieldManager": "m", "force": "true"} if FORMATS[how] == APPLY else {}
        body = spoiler.spoil(copy.deepcopy(bodies[path]))
        reply = await kube.call(method, target, body, media=FORMATS[how], **query)
        assert "kind" in reply.body, (how, path, body, reply)
