"""Discovery in one answer and OpenAPI, without kubectl."""

from __future__ import annotations

import pytest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_all_of_discovery_comes_in_one_answer(server, connect, definition):
    async with connect(server, {"Accept": f"{AGGREGATED},application/json"}) as kube:
        await kube.ok("POST", kube.definitions, definition)
        reply = await kube.call("GET", "/apis")
        assert reply.headers["Content-Type"] == AGGREGATED
        groups = {group["metadata"]["name"]: group for group in reply.body["items"]}
        (resource,) = groups["example.com"]["versions"][0]["resources"]
        assert (resource["resource"], resource["scope"]) == ("computes", "Namespaced")
        assert resource["subresources"][0]["subresource"] == "status"
        deployments = next(
            entry
            for entry in groups["apps"]["versions"][0]["resources"]
            if entry["resource"] == "deployments"
        )
        scale = deployments["subresources"][0]["responseKind"]
        assert scale == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        (core,) = (await kube.ok("GET", "/api"))["items"]
        assert core["versions"][0]["version"] == "v1"


@pytest.fixture
async def schemas(kube, definition):
    """The schemas of a group version by the last part of their name."""
    await kube.ok("POST", kube.definitions, definition)
    index = (await kube.ok("GET", "/openapi/v3"))["paths"]

    async def read(place):
        document = await kube.ok("GET", index[place]["serverRelativeURL"])
        found = document["components"]["schemas"]
        return document, {name.rpartition(".")[2]: schema for name, schema in found.items()}

    return read


async def test_schemas_follow_field_tables_and_definitions(schemas):
    document, found = await schemas("apis/resource.k8s.io/v1")
    (identity,) = found["ResourceClaim"]["x-kubernetes-group-version-kind"]
    assert identity == {"group": "resource.k8s.io", "version": "v1", "kind": "ResourceClaim"}
    status = found["ResourceClaimStatus"]["properties"]
    assert status["devices"]["x-kubernetes-list-map-keys"][0] == "driver"
    reference = found["ResourceClaim"]["properties"]["metadata"]["allOf"][0]["$ref"]
    assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    _, custom = await schemas("apis/example.com/v1")
    assert custom["Compute"]["properties"]["spec"]["properties"]["size"]["maximum"] == 9


async def test_writes_are_said_to_validate_fields(schemas):
    document, _ = await schemas("api/v1")
    patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Pod"


async def test_what_is_not_described_is_not_found(kube):
    for path in ("/openapi/v3/apis/nothing/v1", "/openapi/v2"):
        assert (await kube.refused("GET", path))["code"] == 404
