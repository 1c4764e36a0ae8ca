"""The chart's admission policies on the testbed's API server: what they refuse, and whom they leave alone."""

from __future__ import annotations

import copy
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from charts.golden import kept
from pydra_testbed.api import RBAC, ApiServer, Bound, selector_check
from pydra_testbed.clock import RealClock
from pydra_testbed.objects import ApiStatusError

ROOT = Path(__file__).parents[2]
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
SLICE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceSlice",
    "metadata": {"name": "own"},
    "spec": {
        "driver": "dra.pizza",
        "nodeName": "node-1",
        "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "margherita"}],
    },
}
CLUSTER_WIDE = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "DeviceClass": "deviceclasses",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


async def cluster(case):
    """An API server that has what the chart brings for all of the cluster."""
    server = ApiServer(RealClock(), cel_check=selector_check, authorization=RBAC)
    for body in kept(ROOT, case):
        if resource := CLUSTER_WIDE.get(body["kind"]):
            await server.local.create(resource, body)
    return server


@asynccontextmanager
async def driver_of(server, *bound):
    """HTTP as the driver of the release speaks it, with a token bound to these."""
    token = server.tokens.for_service_account("kube-system", "dra-driver-pizza", bound=bound)
    headers = {"Authorization": f"Bearer {token.text}"}
    async with server.listen() as url, aiohttp.ClientSession(url, headers=headers) as session:
        yield session


def changed(**fields):
    body = copy.deepcopy(SLICE)
    body["spec"] |= fields
    return body


async def says(answer):
    body = await answer.json()
    return answer.status, body.get("message", "")


ELSEWHERE = {"name": "node-2", "generation": 9, "resourceSliceCount": 1}
FOREIGN = [
    ({"nodeName": "node-2"}, "slices of node node-1 only, in spec.nodeName"),
    ({"driver": "dra.pasta"}, "slices of driver dra.pizza only, in spec.driver"),
    ({"pool": ELSEWHERE}, "slices of pool node-1 and those below it only, in spec.pool.name"),
    ({"pool": ELSEWHERE | {"name": "node-10"}}, "slices of pool node-1 and those below it only"),
]


@pytest.mark.parametrize(("fields", "told"), FOREIGN)
async def test_a_driver_writes_slices_of_its_own_node_driver_and_pool_only(fields, told):
    server = await cluster("pizza")
    async with driver_of(server, Bound("node", "node-1")) as session:
        status, message = await says(await session.post(SLICES, json=changed(**fields)))
        assert (status, told in message) == (422, True), message
        foreign = await server.local.create("resourceslices", changed(**fields))
        url = f"{SLICES}/{foreign['metadata']['name']}"
        foreign["spec"]["devices"] = []
        assert (await session.put(url, json=foreign)).status == 422
        assert (await session.delete(url)).status == 422


@pytest.mark.parametrize("pool", ["node-1", "node-1/oven"])
async def test_its_own_slices_it_makes_changes_and_deletes(pool):
    server = await cluster("pizza")
    body = changed(pool=SLICE["spec"]["pool"] | {"name": pool})
    async with driver_of(server, Bound("node", "node-1")) as session:
        made = await session.post(SLICES, json=body)
        assert made.status == 201
        body = await made.json()
        body["spec"]["devices"] = []
        assert (await session.put(f"{SLICES}/own", json=body)).status == 200
        assert (await session.delete(f"{SLICES}/own")).status == 200


async def test_a_slice_for_all_nodes_is_none_of_its_own():
    server = await cluster("pizza")
    everywhere = changed(allNodes=True)
    del everywhere["spec"]["nodeName"]
    async with driver_of(server, Bound("node", "node-1")) as session:
        status, message = await says(await session.post(SLICES, json=everywhere))
    assert status == 422
    assert "in spec.nodeName" in message


async def test_a_token_that_is_bound_to_no_node_writes_no_slice():
    server = await cluster("pizza")
    async with driver_of(server) as session:
        status, message = await says(await session.post(SLICES, json=SLICE))
    assert status == 422
    assert "bound to no node" in message


async def test_who_is_not_the_driver_is_left_alone():
    server = await cluster("pizza")
    body = await server.local.create("resourceslices", changed(nodeName="node-2"))
    assert body["spec"]["nodeName"] == "node-2"


def claim(parameters):
    opaque = {"driver": "dra.pizza", "parameters": parameters}
    request = {"name": "pizza", "exactly": {"deviceClassName": "pizza"}}
    devices = {"requests": [request], "config": [{"opaque": opaque}]}
    return {"metadata": {"generateName": "c-"}, "spec": {"devices": devices}}


GOOD = {"apiVersion": "dra.pizza/v1", "kind": "Order", "extraCheese": True}


async def test_parameters_the_driver_does_not_take_are_refused_when_they_are_written():
    server = await cluster("pizza")
    await server.local.create("resourceclaims", claim(GOOD), "default")
    with pytest.raises(
        ApiStatusError, match=r"config\[0\]\.opaque\.parameters\.cheese: unknown field"
    ):
        await server.local.create("resourceclaims", claim(GOOD | {"cheese": 1}), "default")


async def test_an_admin_may_be_content_with_a_warning():
    server = await cluster("everything")
    (binding,) = [
        body
        for body in kept(ROOT, "everything")
        if body["kind"].endswith("Binding") and body["metadata"]["name"] == "parameters.dra.pizza"
    ]
    assert binding["spec"]["validationActions"] == ["Warn"]
    await server.local.create("resourceclaims", claim(GOOD | {"cheese": 1}), "default")
