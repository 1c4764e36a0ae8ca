"""One object under several versions of resource.k8s.io."""

from __future__ import annotations

import pytest

from pydra_testbed.api import RESOURCE_VERSIONS, ApiServer

GROUP = "/apis/resource.k8s.io"
FLAT_CLAIM = {
    "apiVersion": "resource.k8s.io/v1beta1",
    "kind": "ResourceClaim",
    "metadata": {"name": "c1"},
    "spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "gpu", "count": 2}]}},
}
DEPRECATED = (
    '299 - "resource.k8s.io/v1beta1 ResourceClaim is deprecated in v1.35+, unavailable in v1.38+"'
)


@pytest.fixture
def all_versions(clock):
    return ApiServer(
        clock, resource_versions=RESOURCE_VERSIONS, gates={"DRADeviceTaintRules": True}
    )


@pytest.fixture
async def older(all_versions, connect):
    async with connect(all_versions) as kube:
        yield kube


def claims(version: str) -> str:
    return f"{GROUP}/{version}/namespaces/default/resourceclaims"


async def test_v1_alone_is_served_unless_told_otherwise(kube):
    found = await kube.ok("GET", GROUP)
    assert [entry["version"] for entry in found["versions"]] == ["v1"]
    assert (await kube.call("GET", claims("v1beta1"))).status == 404


async def test_every_version_is_discovered(older):
    found = await older.ok("GET", GROUP)
    assert [entry["version"] for entry in found["versions"]] == list(RESOURCE_VERSIONS)
    assert found["preferredVersion"]["version"] == "v1"
    kinds = await older.ok("GET", f"{GROUP}/v1alpha3")
    assert {entry["kind"] for entry in kinds["resources"]} == {"DeviceTaintRule"}


async def test_a_claim_written_flat_is_read_nested(older):
    await older.ok("POST", claims("v1beta1"), FLAT_CLAIM)
    found = await older.ok("GET", f"{claims('v1')}/c1")
    assert found["spec"]["devices"]["requests"] == [
        {
            "name": "r",
            "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2},
        }
    ]


async def test_lists_patches_and_watches_speak_the_version_they_were_asked_in(older, samples):
    async with older.watch(claims("v1beta1")) as watching:
        await older.ok("POST", claims("v1"), samples("claim"))
        seen = (await watching.next())["object"]
    listed = (await older.ok("GET", claims("v1beta1")))["items"][0]
    for found in (seen, listed):
        assert found["apiVersion"] == "resource.k8s.io/v1beta1"
        assert found["spec"]["devices"]["requests"][0]["deviceClassName"] == "gpu"
    patch = {"metadata": {"labels": {"a": "b"}}}
    media = "application/merge-patch+json"
    patched = await older.ok("PATCH", f"{claims('v1beta1')}/c1", patch, media=media)
    assert patched["metadata"]["labels"] == {"a": "b"}
    assert patched["spec"] == listed["spec"]


async def test_a_version_on_its_way_out_says_so_with_every_answer(older):
    created = await older.call("POST", claims("v1beta1"), FLAT_CLAIM)
    refused = await older.call("POST", claims("v1beta1"), FLAT_CLAIM)
    assert (created.status, refused.status) == (201, 409)
    assert created.warnings == refused.warnings == [DEPRECATED]
    assert not (await older.call("GET", claims("v1"))).warnings


async def test_the_version_of_the_body_must_be_that_of_the_path(older):
    refused = await older.refused("POST", claims("v1"), FLAT_CLAIM)
    assert refused["message"] == (
        "the API version in the data (resource.k8s.io/v1beta1) does not match the expected API "
        "version (resource.k8s.io/v1)"
    )


async def test_a_request_without_a_class_is_judged_as_v1beta1_left_it(older):
    body = FLAT_CLAIM | {"spec": {"devices": {"requests": [{"name": "r", "count": 2}]}}}
    refused = await older.refused("POST", claims("v1beta1"), body)
    fields = [cause["field"] for cause in refused["details"]["causes"]]
    request = "spec.devices.requests[0].exactly"
    assert fields == [f"{request}.deviceClassName", f"{request}.allocationMode"]


async def test_types_in_texts_are_those_of_the_version(older):
    body = FLAT_CLAIM | {"spec": {"devices": {"requests": "all"}}}
    refused = await older.refused("POST", claims("v1beta1"), body)
    assert refused["message"].endswith("of type []v1beta1.DeviceRequest")


async def test_a_taint_rule_is_one_object_in_both_versions(older):
    rule = {
        "metadata": {"name": "r1"},
        "spec": {"taint": {"key": "example.com/broken", "effect": "NoExecute"}},
    }
    await older.ok("POST", f"{GROUP}/v1alpha3/devicetaintrules", rule)
    found = await older.ok("GET", f"{GROUP}/v1beta2/devicetaintrules/r1")
    assert found["apiVersion"] == "resource.k8s.io/v1beta2"
    assert found["spec"]["taint"]["timeAdded"]


async def test_without_its_gate_there_are_no_taint_rules(clock, connect):
    async with connect(ApiServer(clock, resource_versions=RESOURCE_VERSIONS)) as kube:
        assert (await kube.call("GET", f"{GROUP}/v1beta2/devicetaintrules")).status == 404


def test_a_version_that_does_not_exist_is_refused(clock):
    with pytest.raises(ValueError, match="v2"):
        ApiServer(clock, resource_versions=("v1", "v2"))
