"""`doctor` and the rights of a driver: what it uses, which feature needs it, and the rule to add."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import yaml
from doctor_node import DRIVER, NODE, answering, bound_to, cluster, examined, node
from driver_world import World, stopped
from health_world import SICKLY, Sickly
from slice_watching import published

from pydra_testbed.api import RBAC, ApiServer, Bound, write_kubeconfig
from pydra_testbed.clock import RealClock

__all__ = ["node"]

GROUP = "resource.k8s.io"
EVERY_DRIVER = {
    (GROUP, "resourceclaims", "get"),
    *((GROUP, "resourceslices", v) for v in ("list", "watch", "create", "update", "delete")),
    ("", "nodes", "get"),
    ("", "events", "create"),
    ("", "events", "patch"),
}
FINER = "rbac: associated-node:patch resourceclaims/driver"
ACCOUNT = "card"
CLUSTER_POOLS = """    async def cluster_pools(self):
        return []

"""


def rules(done):
    """The rules that the findings tell to add."""
    found = [r for r in done.findings if r["finding"] == "api-rights"]
    return [rule for r in found for rule in yaml.safe_load(r["fix"].partition(":\n")[2])]


def asking(allowed):
    """An access review that keeps what it was asked: `asked`, and the route for `cluster`."""
    asked = []

    async def review(request):
        attributes = (await request.json())["spec"]["resourceAttributes"]
        asked.append(attributes)
        return {"status": {"allowed": allowed(attributes), "reason": "RBAC: no rule"}}

    return asked, review


async def test_each_right_that_is_missing_comes_with_its_feature_and_its_rule(node):
    denied = {("resourceslices", "delete"), ("nodes", "get")}
    _, review = asking(lambda a: (a["resource"], a["verb"]) not in denied)
    done = await examined(node, selfsubjectaccessreviews=review)
    assert {r["check"] for r in done.findings} == {"rbac: delete resourceslices", "rbac: get nodes"}
    assert rules(done) == [
        {"apiGroups": [GROUP], "resources": ["resourceslices"], "verbs": ["delete"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
    ]
    seen = "denied: RBAC: no rule; publishing slices needs it"
    assert done.says("rbac: delete resourceslices", "finding", seen)


async def test_a_driver_is_asked_for_what_it_uses_and_for_nothing_else(node):
    asked, review = asking(lambda _: True)
    await examined(node, selfsubjectaccessreviews=review)
    assert len(asked) == len(EVERY_DRIVER)
    assert {(a["group"], a["resource"], a["verb"]) for a in asked} == EVERY_DRIVER


async def test_one_that_watches_health_needs_to_write_status_too(node):
    node.program(SICKLY)
    Sickly(node.root)
    asked, review = asking(lambda a: "subresource" not in a)
    done = await examined(node, {"token": bound_to(NODE)}, selfsubjectaccessreviews=review)
    more = [a for a in asked if "subresource" in a]
    assert {(a["subresource"], a["verb"], a.get("name")) for a in more} == {
        ("status", "patch", None),
        ("driver", "associated-node:patch", DRIVER),
        ("driver", "arbitrary-node:patch", DRIVER),
    }
    assert {r["finding"] for r in done.findings} == {"api-rights"}
    assert done.says(FINER, "finding", "telling claims of their devices' health needs it")
    assert rules(done)[1] == {
        "apiGroups": [GROUP],
        "resources": ["resourceclaims/driver"],
        "resourceNames": [DRIVER],
        "verbs": ["associated-node:patch"],
    }


@pytest.mark.parametrize(
    ("version", "allowed", "state", "seen"),
    [
        ("v1.35.1", [], "skipped", "needed from Kubernetes 1.36 on"),
        ("v1.36.0", ["arbitrary-node:patch"], "ok", "allowed"),
    ],
)
async def test_the_finer_right_is_asked_for_where_it_counts(node, version, allowed, state, seen):
    node.program(SICKLY)
    Sickly(node.root)
    _, review = asking(lambda a: a.get("subresource") != "driver" or a["verb"] in allowed)
    changes = {"version": {"gitVersion": version}, "selfsubjectaccessreviews": review}
    async with answering(**cluster(**changes)) as url:
        node.kubeconfig(url)
        done = await node.doctor()
    assert done.says(FINER, state, seen)
    assert done.code == 0


async def test_a_driver_of_pools_that_belong_to_no_node_needs_it_for_claims_of_no_node(node):
    node.program(
        SICKLY.replace("    async def watch_health", f"{CLUSTER_POOLS}    async def watch_health")
    )
    Sickly(node.root)
    _, review = asking(lambda a: a["verb"] != "arbitrary-node:patch")
    done = await examined(node, {"token": bound_to(NODE)}, selfsubjectaccessreviews=review)
    assert [rule["verbs"] for rule in rules(done)] == [["arbitrary-node:patch"]]


@contextlib.asynccontextmanager
async def restricted(root):
    """An API server that asks for roles, and a kubeconfig of an account whose role is empty."""
    server = ApiServer(RealClock(), authorization=RBAC)
    await server.local.create("nodes", {"metadata": {"name": NODE}})
    await server.local.create("clusterroles", {"metadata": {"name": ACCOUNT}, "rules": []})
    subject = {"kind": "ServiceAccount", "namespace": "default", "name": ACCOUNT}
    ref = {"kind": "ClusterRole", "name": ACCOUNT, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": ACCOUNT}, "roleRef": ref, "subjects": [subject]}
    await server.local.create("clusterrolebindings", binding)
    bound = [Bound("node", NODE)]
    token = server.tokens.for_service_account("default", ACCOUNT, bound=bound).text
    async with server.listen() as url:
        world = World(root, server, write_kubeconfig(root / "kubeconfig", url, token))
        async with stopped(world):
            yield world


async def allocated(world):
    """A claim allocated as the scheduler does it: with the node it is for."""
    claim = await world.claim(requests=["r0"])
    body = await world.api.get("resourceclaims", claim.name, "default")
    here = {"key": "metadata.name", "operator": "In", "values": [NODE]}
    result = {"request": "r0", "driver": DRIVER, "pool": NODE, "device": "card-0"}
    body["status"] = {
        "allocation": {
            "devices": {"results": [result]},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [here]}]},
        }
    }
    made = await world.api.update("resourceclaims", body, "status")
    return replace(claim, uid=made["metadata"]["uid"])


async def test_the_rules_it_tells_are_enough_for_the_driver_and_for_all_its_features(node):
    sickly = Sickly(node.root)
    sickly.say(card_0="healthy")
    node.program(SICKLY)
    async with restricted(node.root) as world:
        node.environ["KUBECONFIG"] = str(world.kubeconfig)
        poor = await node.doctor()
        role = {"metadata": {"name": ACCOUNT}, "rules": rules(poor)}
        await world.api.update("clusterroles", role)
        rich = await node.doctor()
        assert (len(rules(poor)), rich.findings) == (11, [])

        driver = await world.start(SICKLY)
        await published(world, driver)
        claim = await allocated(world)
        assert (await driver.prepare(claim)).claims[claim.uid].error == ""
        sickly.say(card_0="unhealthy Hot")
        async for _ in world.api.watch("resourceclaims"):
            body = await world.api.get("resourceclaims", claim.name, "default")
            if body["status"].get("devices"):
                break
        async for event in world.api.watch("events"):
            if event.object["reason"] == "DeviceUnhealthy":
                break
        assert "forbidden" not in driver.logged().lower()
