"""A policy that keeps a node's driver to the slices of its own node, tried over HTTP."""

from __future__ import annotations

import json

import aiohttp
import pytest

from pydra_testbed.api import RBAC, ApiServer, Bound

SLICES = "/apis/resource.k8s.io/v1/resourceslices"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
ACCOUNT = "system:serviceaccount:drivers:oven"
SPEC = {
    "failurePolicy": "Fail",
    "matchConstraints": {
        "resourceRules": [
            {
                "apiGroups": ["resource.k8s.io"],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
                "resources": ["resourceslices"],
            }
        ]
    },
    "matchConditions": [
        {"name": "driver", "expression": f'request.userInfo.username == "{ACCOUNT}"'}
    ],
    "variables": [
        {
            "name": "userNode",
            "expression": "request.userInfo.extra[?'authentication.kubernetes.io/node-name'][0]"
            ".orValue('')",
        },
        {
            "name": "sliceNode",
            "expression": '(request.operation == "DELETE" ? oldObject : object)'
            '.spec.?nodeName.orValue("")',
        },
    ],
    "validations": [
        {"expression": 'variables.userNode != ""', "message": "the token is bound to no node"},
        {
            "expression": "variables.userNode == variables.sliceNode",
            "messageExpression": "'node ' + variables.userNode + ' may not write slices of ' "
            "+ variables.sliceNode",
        },
    ],
}
RULES = [{"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices"], "verbs": ["*"]}]


class Cluster:
    """A server on which the driver `oven` may write slices as far as the policy lets it."""

    def __init__(self, server: ApiServer, url: str) -> None:
        self.server = server
        self.url = url

    async def set_up(self, spec=SPEC, actions=("Deny",)) -> None:
        local = self.server.local
        role = {"metadata": {"name": "oven"}, "rules": RULES}
        await local.create("clusterroles", role)
        subject = {"kind": "ServiceAccount", "namespace": "drivers", "name": "oven"}
        ref = {"kind": "ClusterRole", "name": "oven"}
        binding = {"metadata": {"name": "oven"}, "roleRef": ref, "subjects": [subject]}
        await local.create("clusterrolebindings", binding)
        policy = {"metadata": {"name": "own-node"}, "spec": spec}
        await local.create("validatingadmissionpolicies", policy)
        bound = {"policyName": "own-node", "validationActions": list(actions)}
        binding = {"metadata": {"name": "own-node"}, "spec": bound}
        await local.create("validatingadmissionpolicybindings", binding)

    async def call(self, node: str, method: str, path: str, body=None):
        bound = [Bound("node", node)] if node else []
        token = self.server.tokens.for_service_account("drivers", "oven", bound=bound).text
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.request(method, path, data=data, headers=headers) as reply,
        ):
            warnings = reply.headers.getall("Warning", [])
            return reply.status, json.loads(await reply.text()), warnings


@pytest.fixture
async def cluster(clock):
    server = ApiServer(clock, authorization=RBAC)
    async with server.listen() as url:
        yield Cluster(server, url)


async def test_a_driver_writes_the_slices_of_its_own_node_alone(cluster, samples):
    await cluster.set_up()
    status, body, _ = await cluster.call("node2", "POST", SLICES, samples("slice"))
    assert (status, body["reason"]) == (422, "Invalid")
    assert body["message"] == (
        'resourceslices.resource.k8s.io "s1" is forbidden: ValidatingAdmissionPolicy '
        "'own-node' with binding 'own-node' denied request: "
        "node node2 may not write slices of node1"
    )
    status, body, _ = await cluster.call("", "POST", SLICES, samples("slice"))
    assert body["message"].endswith("denied request: the token is bound to no node")
    status, made, _ = await cluster.call("node1", "POST", SLICES, samples("slice"))
    assert status == 201
    made["spec"]["devices"].append({"name": "d1"})
    statuses = [
        (await cluster.call(node, method, f"{SLICES}/s1", body))[0]
        for node, method, body in (
            ("node2", "PUT", made),
            ("node1", "PUT", made),
            ("node2", "DELETE", None),
            ("node1", "DELETE", None),
        )
    ]
    assert statuses == [422, 200, 422, 200]


async def test_a_deletion_of_many_stops_at_the_first_that_is_denied(cluster, samples):
    await cluster.set_up()
    await cluster.server.local.create("resourceslices", samples("slice"))
    status, _, _ = await cluster.call("node2", "DELETE", SLICES)
    assert status == 422
    assert len((await cluster.server.local.list("resourceslices")).items) == 1


async def test_others_are_not_concerned(cluster, samples):
    await cluster.set_up()
    other = samples("slice", metadata__name="s2", spec__nodeName="node7")
    assert await cluster.server.local.create("resourceslices", other)


async def test_a_policy_that_warns_lets_the_write_pass(cluster, samples):
    await cluster.set_up(actions=("Warn",))
    status, _, warnings = await cluster.call("node2", "POST", SLICES, samples("slice"))
    assert status == 201
    assert "Validation failed for ValidatingAdmissionPolicy 'own-node'" in warnings[0]


@pytest.mark.parametrize(("policy", "status"), [("Fail", 422), ("Ignore", 201)])
async def test_an_expression_that_fails_counts_as_the_policy_says(cluster, samples, policy, status):
    broken = {"expression": "object.spec.nosuch == 1"}
    await cluster.set_up(SPEC | {"failurePolicy": policy, "validations": [broken]})
    found, body, _ = await cluster.call("node1", "POST", SLICES, samples("slice"))
    assert found == status
    if status != 201:
        assert "resulted in error: no such key: nosuch" in body["message"]


async def test_the_reason_of_a_validation_decides_the_code(cluster, samples):
    denied = {"expression": "false", "reason": "Forbidden", "message": "never"}
    await cluster.set_up(SPEC | {"validations": [denied]})
    status, body, _ = await cluster.call("node1", "POST", SLICES, samples("slice"))
    assert (status, body["reason"]) == (403, "Forbidden")


async def test_policies_that_cannot_be_held_are_refused(kube):
    spec = SPEC | {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    spec["validations"] = [{"expression": "object.spec."}]
    refused = await kube.refused("POST", POLICIES, {"metadata": {"name": "p"}, "spec": spec})
    fields = [cause["field"] for cause in refused["details"]["causes"]]
    assert fields == ["spec.paramKind", "spec.validations[0].expression"]
