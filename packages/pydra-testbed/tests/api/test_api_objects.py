from __future__ import annotations

import asyncio
import re


async def test_a_created_object_gets_identity_version_and_time(kube, samples):
    claim = await kube.ok("POST", kube.claims, samples("claim"))
    meta = claim["metadata"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", meta["uid"])
    assert meta["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert meta["namespace"] == "default"
    assert int(meta["resourceVersion"]) > 0
    assert claim["status"] == {}
    assert await kube.ok("GET", f"{kube.claims}/c1") == claim


async def test_resource_versions_grow_over_all_kinds(kube, samples):
    first = await kube.ok("POST", kube.claims, samples("claim"))
    second = await kube.ok("POST", kube.slices, samples("slice"))
    listed = await kube.ok("GET", kube.claims)
    versions = [first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]]
    assert int(versions[0]) < int(versions[1]) == int(listed["metadata"]["resourceVersion"])


async def test_generation_counts_changes_of_the_spec_alone(kube, samples):
    created = await kube.ok("POST", kube.slices, samples("slice"))
    assert created["metadata"]["generation"] == 1
    labelled = samples("slice", metadata__labels={"a": "b"})
    assert (await kube.ok("PUT", f"{kube.slices}/s1", labelled))["metadata"]["generation"] == 1
    changed = samples("slice", spec__devices=[{"name": "other"}])
    assert (await kube.ok("PUT", f"{kube.slices}/s1", changed))["metadata"]["generation"] == 2


async def test_a_generated_name_has_five_random_letters_and_fits_63_characters(kube, samples):
    short = samples("claim", metadata={"generateName": "p-"})
    names = [(await kube.ok("POST", kube.claims, short))["metadata"]["name"] for _ in range(20)]
    assert len(set(names)) == 20
    assert all(re.fullmatch(r"p-[bcdfghjklmnpqrstvwxz2456789]{5}", name) for name in names)
    long = await kube.ok("POST", kube.claims, samples("claim", metadata={"generateName": "x" * 80}))
    assert len(long["metadata"]["name"]) == 63


async def test_the_same_name_twice_is_refused(kube, samples):
    await kube.ok("POST", kube.claims, samples("claim"))
    status = await kube.refused("POST", kube.claims, samples("claim"))
    assert (status["code"], status["reason"]) == (409, "AlreadyExists")
    assert status["message"] == 'resourceclaims.resource.k8s.io "c1" already exists'
    details = {"name": "c1", "group": "resource.k8s.io", "kind": "resourceclaims"}
    assert status["details"] == details


async def test_what_is_not_there_is_named_in_the_answer(kube):
    status = await kube.refused("GET", f"{kube.claims}/nope")
    assert (status["code"], status["message"]) == (
        404,
        'resourceclaims.resource.k8s.io "nope" not found',
    )
    missing = await kube.refused("GET", "/apis/nothing.example/v1/things")
    assert missing["message"] == "the server could not find the requested resource"


async def test_a_stale_version_conflicts_and_changes_nothing(kube, samples):
    old = await kube.ok("POST", kube.slices, samples("slice"))
    new = samples(
        "slice", spec__devices=[], metadata__resourceVersion=old["metadata"]["resourceVersion"]
    )
    await kube.ok("PUT", f"{kube.slices}/s1", new)
    status = await kube.refused("PUT", f"{kube.slices}/s1", old)
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert "the object has been modified; please apply your changes" in status["message"]
    assert "devices" not in (await kube.ok("GET", f"{kube.slices}/s1"))["spec"]


async def test_of_concurrent_writers_from_one_version_exactly_one_wins(kube, samples):
    read = await kube.ok("POST", kube.slices, samples("slice"))
    bodies = [read | {"metadata": read["metadata"] | {"labels": {"w": str(i)}}} for i in range(8)]
    replies = await asyncio.gather(
        *(kube.call("PUT", f"{kube.slices}/s1", body) for body in bodies)
    )
    assert sorted(reply.status for reply in replies) == [200] + [409] * 7


async def test_a_write_that_changes_nothing_makes_no_new_version(kube, samples):
    created = await kube.ok("POST", kube.slices, samples("slice"))
    again = await kube.ok("PUT", f"{kube.slices}/s1", samples("slice"))
    assert again == created


async def test_a_lease_must_say_which_version_it_changes(kube):
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
    created = await kube.ok("PUT", f"{leases}/l", lease)
    status = await kube.refused("PUT", f"{leases}/l", lease)
    assert (status["code"], status["details"]["causes"][0]["field"]) == (
        422,
        "metadata.resourceVersion",
    )
    created["spec"]["holderIdentity"] = "b"
    assert (await kube.ok("PUT", f"{leases}/l", created))["spec"]["holderIdentity"] == "b"


async def test_only_the_status_path_changes_the_status(kube, samples):
    await kube.ok("POST", kube.claims, samples("claim", status={"reservedFor": [{"uid": "u"}]}))
    allocation = {
        "devices": {
            "results": [{"request": "r", "driver": "d.example.com", "pool": "p", "device": "d0"}]
        }
    }
    mixed = samples("claim", status__allocation=allocation, metadata__labels={"a": "b"})
    through_main = await kube.ok("PUT", f"{kube.claims}/c1", mixed)
    assert through_main["status"] == {}
    mixed["metadata"]["labels"] = {"c": "d"}
    mixed["spec"] = {}
    through_status = await kube.ok("PUT", f"{kube.claims}/c1/status", mixed)
    assert through_status["status"] == {"allocation": allocation}
    assert through_status["metadata"]["labels"] == {"a": "b"}
    assert through_status["spec"] == through_main["spec"]


async def test_finalizers_hold_an_object_until_the_last_is_taken_off(kube, samples):
    await kube.ok("POST", kube.claims, samples("claim", metadata__finalizers=["x.io/a", "x.io/b"]))
    marked = await kube.ok("DELETE", f"{kube.claims}/c1")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    again = await kube.ok("DELETE", f"{kube.claims}/c1")
    assert again == marked
    one = samples("claim", metadata__finalizers=["x.io/b"])
    assert (await kube.call("PUT", f"{kube.claims}/c1", one)).status == 200
    added = samples("claim", metadata__finalizers=["x.io/b", "x.io/c"])
    status = await kube.refused("PUT", f"{kube.claims}/c1", added)
    assert "no new finalizers can be added if the object is being deleted" in status["message"]
    await kube.ok("PUT", f"{kube.claims}/c1", samples("claim"))
    assert (await kube.call("GET", f"{kube.claims}/c1")).status == 404


async def test_a_delete_with_preconditions_only_hits_what_was_meant(kube, samples):
    first = (await kube.ok("POST", kube.slices, samples("slice")))["metadata"]
    wrong_uid = {"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}}
    assert (await kube.refused("DELETE", f"{kube.slices}/s1", wrong_uid))["code"] == 409
    wrong_version = {"preconditions": {"uid": first["uid"], "resourceVersion": "1"}}
    assert (await kube.refused("DELETE", f"{kube.slices}/s1", wrong_version))["code"] == 409
    right = {"preconditions": {"uid": first["uid"], "resourceVersion": first["resourceVersion"]}}
    assert (await kube.ok("DELETE", f"{kube.slices}/s1", right))["metadata"]["uid"] == first["uid"]


async def test_deleting_a_collection_takes_what_the_selectors_mean(kube, samples):
    for index, node in enumerate(["node1", "node1", "node2"]):
        await kube.ok(
            "POST", kube.slices, samples("slice", metadata__name=f"s{index}", spec__nodeName=node)
        )
    deleted = await kube.ok("DELETE", kube.slices, fieldSelector="spec.nodeName=node1")
    assert [item["metadata"]["name"] for item in deleted["items"]] == ["s0", "s1"]
    left = await kube.ok("GET", kube.slices)
    assert [item["metadata"]["name"] for item in left["items"]] == ["s2"]


async def test_a_dry_run_answers_like_the_real_thing_and_keeps_nothing(kube, samples):
    created = await kube.ok("POST", kube.claims, samples("claim"), dryRun="All")
    assert "resourceVersion" not in created["metadata"]
    assert (await kube.call("GET", f"{kube.claims}/c1")).status == 404
    await kube.ok("POST", kube.slices, samples("slice"))
    await kube.ok("PUT", f"{kube.slices}/s1", samples("slice", spec__devices=[]), dryRun="All")
    await kube.ok("DELETE", f"{kube.slices}/s1", {"dryRun": ["All"]})
    assert (await kube.ok("GET", f"{kube.slices}/s1"))["spec"]["devices"] == [{"name": "d0"}]


async def test_unknown_fields_are_dropped_with_a_warning_or_refused(kube, samples):
    odd = samples("slice", spec__basic={"a": 1})
    reply = await kube.call("POST", kube.slices, odd, dryRun="All")
    assert reply.warnings == ['299 - "unknown field \\"spec.basic\\""']
    assert "basic" not in reply.body["spec"]
    status = await kube.refused("POST", kube.slices, odd, fieldValidation="Strict")
    assert 'strict decoding error: unknown field "spec.basic"' in status["message"]
    silent = await kube.call("POST", kube.slices, odd, fieldValidation="Ignore")
    assert silent.warnings == []


async def test_core_kinds_keep_fields_the_server_does_not_know(kube, samples):
    pod = samples("pod", spec__somethingNew={"x": [1]})
    assert (await kube.ok("POST", kube.pods, pod))["spec"]["somethingNew"] == {"x": [1]}


async def test_a_body_above_three_mebibytes_is_refused(kube):
    status = await kube.refused("POST", kube.maps, b"x" * (3 * 1024 * 1024 + 1))
    assert (status["code"], status["reason"]) == (413, "RequestEntityTooLarge")


async def test_broken_requests_are_told_what_is_wrong_with_them(kube, samples):
    answers = [
        await kube.refused("POST", kube.claims, b"{"),
        await kube.refused("POST", kube.claims, b"[]"),
        await kube.refused("POST", kube.claims, samples("claim"), media="application/yaml"),
        await kube.refused("POST", f"{kube.claims}/c1", samples("claim")),
        await kube.refused("PUT", kube.claims, samples("claim")),
        await kube.refused("POST", kube.claims, samples("claim"), fieldValidation="Perhaps"),
        await kube.refused("GET", f"{kube.claims}/c1/scale"),
    ]
    assert [answer["code"] for answer in answers] == [400, 400, 415, 405, 405, 422, 404]


async def test_a_server_with_a_token_lets_only_its_bearer_in(connect, clock):
    from pydra_testbed.api import ApiServer

    server = ApiServer(clock, token="letmein")
    async with connect(server) as stranger:
        status = await stranger.refused("GET", stranger.slices)
        assert (status["code"], status["reason"]) == (401, "Unauthorized")
        assert (await stranger.call("GET", "/healthz")).status == 200
    async with connect(server, {"Authorization": "Bearer letmein"}) as friend:
        await friend.ok("GET", friend.slices)


async def test_objects_outlive_a_listening_and_a_unix_socket_serves_them_too(
    server, samples, tmp_path
):
    import aiohttp

    await server.local.create("resourceslices", samples("slice"))
    socket = tmp_path / "api.sock"
    connector = aiohttp.UnixConnector(str(socket))
    async with (
        server.listen(socket=socket) as url,
        aiohttp.ClientSession("http://api", connector=connector) as session,
        session.get("/apis/resource.k8s.io/v1/resourceslices") as reply,
    ):
        assert url == f"unix:{socket}"
        assert len((await reply.json())["items"]) == 1


async def test_gates_of_the_server_decide_which_fields_it_keeps(connect, clock, samples):
    from pydra_testbed.api import ApiServer

    lists = samples("slice", spec__devices=[{"name": "d0", "attributes": {"x": {"ints": [1, 2]}}}])
    async with connect(ApiServer(clock)) as kube:
        assert (await kube.refused("POST", kube.slices, lists))["code"] == 422
    async with connect(ApiServer(clock, gates={"DRAListTypeAttributes": True})) as kube:
        kept = await kube.ok("POST", kube.slices, lists)
        assert kept["spec"]["devices"][0]["attributes"]["x"] == {"ints": [1, 2]}
