"""How a pod's containers name its claims: a claim as a whole, or some of its requests, each once."""

from __future__ import annotations

import pytest

AT = "spec.containers[0].resources.claims"


def causes(refused: dict) -> list[tuple[str, str]]:
    return [(cause["field"], cause["message"]) for cause in refused["details"]["causes"]]


def pod(samples, uses: list[dict], claims=("b", "a")) -> dict:
    body = samples("pod")
    body["spec"]["resourceClaims"] = [{"name": n, "resourceClaimName": "c"} for n in claims]
    body["spec"]["containers"][0]["resources"] = {"claims": uses}
    return body


@pytest.mark.parametrize(
    ("uses", "problem"),
    [
        ([{"name": "a", "request": "x"}, {"name": "a", "request": "y"}], ""),
        ([{"name": "a", "request": "x"}, {"name": "a", "request": "x"}], "a/x"),
        ([{"name": "a"}, {"name": "a", "request": "x"}], "a"),
        ([{"name": "a", "request": "x"}, {"name": "a"}], "a"),
    ],
)
async def test_a_container_names_a_claim_or_its_requests_once(kube, samples, uses, problem):
    reply = await kube.call("POST", kube.pods, pod(samples, uses))
    assert (reply.status == 201) == (not problem)
    if problem:
        assert causes(reply.body) == [(f"{AT}[1]", f'Duplicate value: "{problem}"')]


async def test_the_names_there_are_come_in_order(kube, samples):
    refused = await kube.refused("POST", kube.pods, pod(samples, [{"name": "z"}]))
    told = 'Not found: "z": must be one of the names in pod.spec.resourceClaims: a, b'
    assert causes(refused) == [(f"{AT}[0]", told)]


async def test_pod_and_claim_may_have_long_names_together_for_the_made_one_is_cut(kube, samples):
    body = samples("pod", metadata__name="p" * 200)
    entry = {"name": "n" * 60, "resourceClaimTemplateName": "t"}
    body["spec"]["resourceClaims"] = [entry]
    made = await kube.ok("POST", kube.pods, body)
    assert made["spec"]["resourceClaims"] == [entry]
