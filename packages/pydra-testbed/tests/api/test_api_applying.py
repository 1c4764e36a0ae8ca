"""Server-side apply to built-in kinds, and who owns what after other writes."""

from __future__ import annotations

import pytest

from pydra_testbed.objects import ObjectRef, Patch

APPLY = "application/apply-patch+yaml"


@pytest.fixture
def apply(kube):
    async def run(path, body, manager="me", **query):
        found = {"fieldManager": manager} | query
        return await kube.call("PATCH", path, body, media=APPLY, **found)

    return run


def managers(obj: dict) -> dict[str, dict]:
    entries = obj["metadata"].get("managedFields", [])
    return {entry["manager"]: entry["fieldsV1"] for entry in entries}


async def test_two_appliers_share_a_pod_by_containers_and_ports(kube, apply, samples):
    pod = samples("pod", spec__containers=[{"name": "a", "image": "i"}])
    assert (await apply(f"{kube.pods}/p1", pod, "one")).status == 201
    ports = [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
    meta = {"name": "p1", "finalizers": ["example.com/x"]}
    other = {"metadata": meta, "spec": {"containers": [{"name": "a", "ports": ports}]}}
    reply = await apply(f"{kube.pods}/p1", other, "two")
    assert reply.status == 422  # ports of a running pod cannot change
    reply = await apply(f"{kube.pods}/p1", {"metadata": meta}, "two")
    assert managers(reply.body)["two"] == {
        "f:metadata": {"f:finalizers": {'v:"example.com/x"': {}}}
    }
    container = managers(reply.body)["one"]["f:spec"]["f:containers"]
    assert container == {'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}}}


async def test_yaml_is_taken_as_kubectl_sends_it(kube):
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n"
    reply = await kube.call("PATCH", f"{kube.maps}/m", text, media=APPLY, fieldManager="me")
    assert (reply.status, reply.body["data"]) == (201, {"a": "b"})
    broken = await kube.call("PATCH", f"{kube.maps}/m", b"a: [", media=APPLY, fieldManager="me")
    assert broken.status == 400


async def test_drivers_own_their_entries_of_a_claims_status(kube, apply, samples):
    await kube.ok("POST", kube.claims, samples("claim"))
    result = {"request": "r", "driver": "gpu.example.com", "pool": "p", "device": "d"}
    results = [result, result | {"device": "e"}]
    status = {"allocation": {"devices": {"results": results}}}
    claim = samples("claim") | {"status": status}
    await kube.ok("PUT", f"{kube.claims}/c1/status", claim, fieldManager="scheduler")
    for manager, device in (("one", "d"), ("two", "e")):
        entry = {"driver": "gpu.example.com", "pool": "p", "device": device}
        body = {"metadata": {"name": "c1"}, "status": {"devices": [entry]}}
        reply = await apply(f"{kube.claims}/c1/status", body, manager)
        assert reply.status == 200, reply.body
    owned = managers(reply.body)["two"]["f:status"]["f:devices"]
    assert list(owned) == ['k:{"device":"e","driver":"gpu.example.com","pool":"p"}']
    assert len(reply.body["status"]["devices"]) == 2
    gone = await apply(f"{kube.claims}/c1/status", {"metadata": {"name": "c1"}}, "one")
    assert [entry["device"] for entry in gone.body["status"]["devices"]] == ["e"]
    results[0]["device"] = "f"
    stolen = {"metadata": {"name": "c1"}, "status": status}
    refused = await apply(f"{kube.claims}/c1/status", stolen, "two")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    cause = refused.body["details"]["causes"][0]
    assert cause["field"] == ".status.allocation.devices.results"
    assert 'conflict with "scheduler" with subresource "status"' in cause["message"]


async def test_an_apply_says_who_applies_and_in_which_version(kube, apply, samples):
    body = samples("slice")
    nameless = await apply(f"{kube.slices}/s1", body, "")
    assert nameless.body["details"]["causes"][0]["field"] == "fieldManager"
    other = await apply(f"{kube.slices}/s1", body | {"apiVersion": "resource.k8s.io/v9"})
    assert (other.status, "Incorrect version" in other.body["message"]) == (400, True)
    forced = await kube.refused(
        "PATCH", f"{kube.slices}/s1", {}, media="application/merge-patch+json", force="true"
    )
    assert forced["details"]["kind"] == "PatchOptions"


async def test_the_first_word_of_the_user_agent_is_the_manager(server, connect, samples):
    async with connect(server, {"User-Agent": "nodetool/1.2 (linux)"}) as kube:
        made = await kube.ok("POST", kube.slices, samples("slice"))
        assert list(managers(made)) == ["nodetool"]
        named = await kube.ok(
            "PUT",
            f"{kube.slices}/s1",
            samples("slice", spec__devices=[{"name": "e"}]),
            fieldManager="x",
        )
    assert list(managers(named)) == ["nodetool", "x"]


async def test_no_more_than_ten_updaters_are_remembered(kube):
    await kube.ok(
        "POST", kube.maps, {"metadata": {"name": "m"}, "data": {"k": "v"}}, fieldManager="m0"
    )
    for index in range(1, 14):
        patch = {"data": {f"k{index}": "v"}}
        changed = await kube.ok(
            "PATCH",
            f"{kube.maps}/m",
            patch,
            media="application/merge-patch+json",
            fieldManager=f"m{index:02}",
        )
    found = managers(changed)
    assert len(found) == 10
    assert "ancient-changes" in found


async def test_the_testbeds_own_components_apply_too(server, samples):
    patch = Patch(samples("slice"), APPLY, field_manager="inside")
    made = await server.local.patch(ObjectRef("resourceslices", "s1"), patch)
    assert list(managers(made)) == ["inside"]
