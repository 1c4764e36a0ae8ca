"""The chart's admission policies on the testbed's API server: what they refuse, and whom they leave alone."""

from __future__ import annotations

import copy
from contextlib import asynccontextmanager, suppress
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
async def driver_of(server, *bound, account="kube-system/dra-driver-pizza"):
    """HTTP as the driver of the release speaks it, with a token bound to these."""
    token = server.tokens.for_service_account(*account.split("/"), bound=bound)
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


EVERYWHERE = {"nodeName": None, "allNodes": True, "pool": ELSEWHERE | {"name": "delivery"}}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (EVERYWHERE, ""),
        (EVERYWHERE | {"driver": "dra.pasta"}, "slices of driver dra.pizza only"),
        ({}, "slices of no single node"),
    ],
)
async def test_a_publisher_writes_slices_of_its_driver_that_belong_to_no_node(fields, told):
    server = await cluster("fabric")
    body = changed(**fields)
    body["spec"] = {name: value for name, value in body["spec"].items() if value}
    publisher = "drivers/kitchen-dra-driver-publish"
    async with driver_of(server, Bound("node", "node-1"), account=publisher) as session:
        status, message = await says(await session.post(SLICES, json=body))
    assert status == (422 if told else 201)
    assert told in message


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


def custom(kind):
    """The definition of a kind of the Prometheus operator, without its schema."""
    plural = f"{kind.lower()}s"
    shape = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": shape}}
    return {
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


async def test_an_api_server_takes_every_rendering_and_none_of_it_stays(rendered, new_release):
    server = ApiServer(RealClock(), cel_check=selector_check)
    for kind in ("PodMonitor", "PrometheusRule"):
        await server.local.create("customresourcedefinitions", custom(kind))
    for name in ("kube-system", "drivers"):
        with suppress(ApiStatusError):  # it has the first of them
            await server.local.create("namespaces", {"metadata": {"name": name}})
    made = new_release(server, rendered)
    await made.install()
    await made.upgrade(rendered)
    await made.uninstall()
    assert await made.left() == []
