from __future__ import annotations

import asyncio

import aiohttp
import pytest

from pydra_testbed.objects import ApiStatusError


@pytest.mark.parametrize("code", [409, 410, 429, 500, 503])
async def test_the_next_matching_requests_are_answered_as_planned(kube, server, samples, code):
    server.faults.fail("create", "resourceslices", code, times=2, retry_after=7)
    for _ in range(2):
        reply = await kube.call("POST", kube.slices, samples("slice"))
        assert (reply.status, reply.headers["Retry-After"]) == (code, "7")
        assert reply.body["kind"] == "Status"
    await kube.ok("GET", kube.slices)
    await kube.ok("POST", kube.slices, samples("slice"))


async def test_a_fault_can_mean_one_subresource(kube, server, samples):
    await kube.ok("POST", kube.claims, samples("claim"))
    server.faults.fail("update", "resourceclaims/status", 500)
    await kube.ok("PUT", f"{kube.claims}/c1", samples("claim"))
    assert (await kube.refused("PUT", f"{kube.claims}/c1/status", samples("claim")))["code"] == 500
    await kube.ok("PUT", f"{kube.claims}/c1/status", samples("claim"))


async def test_clearing_the_faults_makes_the_server_well(kube, server):
    server.faults.fail("*", "*", 503, times=1000)
    assert (await kube.refused("GET", kube.slices))["code"] == 503
    server.faults.clear()
    await kube.ok("GET", kube.slices)


async def test_dropped_watches_end_and_can_be_taken_up_again(kube, server, samples):
    async with kube.watch(kube.slices) as watch:
        server.faults.drop_watches()
        assert await watch.next() is None
    await kube.ok("POST", kube.slices, samples("slice"))
    async with kube.watch(kube.slices) as watch:
        assert await watch.take(1) == [("ADDED", "s1")]


async def test_an_unreachable_server_cuts_connections_and_comes_back(kube, server):
    async with kube.watch(kube.slices) as watch:
        with server.faults.unreachable():
            with pytest.raises(aiohttp.ClientConnectionError):
                await kube.call("GET", kube.slices)
            assert await watch.next() is None
    await kube.ok("GET", kube.slices)


async def test_faults_reach_the_testbeds_own_components_too(server, samples):
    server.faults.fail("create", "resourceslices", 409)
    with pytest.raises(ApiStatusError) as caught:
        await server.local.create("resourceslices", samples("slice"))
    assert caught.value.code == 409
    await server.local.create("resourceslices", samples("slice"))


async def test_a_request_that_hangs_is_cut_when_the_faults_are_cleared(kube, server, samples):
    server.faults.hang("create", "pods")
    hanging = asyncio.create_task(kube.call("POST", kube.pods, samples("pod")))
    while server.faults.planned():
        await kube.ok("GET", kube.pods)  # other requests are answered
    assert not hanging.done()
    server.faults.clear()
    with pytest.raises(aiohttp.ClientConnectionError):
        await hanging


async def test_a_held_request_is_carried_out_when_the_faults_are_cleared(kube, server, samples):
    server.faults.hold("create", "pods")
    held = asyncio.create_task(kube.call("POST", kube.pods, samples("pod")))
    while server.faults.planned():
        assert (await kube.ok("GET", kube.pods))["items"] == []
    assert not held.done()
    server.faults.clear()
    assert (await held).status == 201


async def test_a_cut_request_was_not_carried_out_and_a_lost_one_was(kube, server, samples):
    server.faults.cut("create", "resourceslices")
    server.faults.lose("create", "resourceslices")
    with pytest.raises(aiohttp.ClientConnectionError):
        await kube.call("POST", kube.slices, samples("slice"))
    assert (await kube.ok("GET", kube.slices))["items"] == []
    with pytest.raises(aiohttp.ClientConnectionError):
        await kube.call("POST", kube.slices, samples("slice"))
    assert len((await kube.ok("GET", kube.slices))["items"]) == 1


async def test_fields_can_be_dropped_from_what_is_written(kube, server, samples):
    taint = {"key": "example.com/t", "effect": "NoSchedule"}
    device = {"name": "d", "taints": [taint], "allowMultipleAllocations": True}
    server.faults.drop_fields("resourceslices", "spec.devices[].taints|allowMultipleAllocations")
    made = await kube.ok("POST", kube.slices, samples("slice", spec__devices=[device]))
    assert made["spec"]["devices"] == [{"name": "d"}]
    server.faults.clear()
    made = await kube.ok("PUT", f"{kube.slices}/s1", samples("slice", spec__devices=[device]))
    assert made["spec"]["devices"][0]["taints"][0]["key"] == "example.com/t"


FAULTS = "/testbed/faults"


async def test_faults_can_be_planned_seen_and_forgotten_over_http(kube, samples):
    plan = {"effect": "fail", "verb": "create", "resource": "resourceslices", "code": 429}
    told = await kube.ok("POST", FAULTS, plan | {"retryAfter": 3, "times": 2})
    assert told["planned"] == [plan | {"times": 2}]
    reply = await kube.call("POST", kube.slices, samples("slice"))
    assert (reply.status, reply.headers["Retry-After"]) == (429, "3")
    fields = {"effect": "dropFields", "resource": "resourceslices", "fields": ["spec.devices"]}
    told = await kube.ok("POST", FAULTS, fields)
    assert told["planned"] == [plan | {"times": 1}, fields]
    assert (await kube.ok("DELETE", FAULTS)) == {"planned": []} == (await kube.ok("GET", FAULTS))
    await kube.ok("POST", kube.slices, samples("slice"))


async def test_watches_can_be_dropped_and_windows_emptied_over_http(kube, samples):
    listed = await kube.ok("GET", kube.slices)
    async with kube.watch(kube.slices) as watch:
        await kube.ok("POST", FAULTS, {"effect": "dropWatches"})
        assert await watch.next() is None
    await kube.ok("POST", kube.slices, samples("slice"))
    await kube.ok("POST", FAULTS, {"effect": "expire", "resource": "resourceslices"})
    version = listed["metadata"]["resourceVersion"]
    status = await kube.refused("GET", kube.slices, watch="1", resourceVersion=version)
    assert status["code"] == 410


@pytest.mark.parametrize(
    "plan",
    [
        {"effect": "explode"},
        {"effect": "fail", "code": 200},
        {"effect": "cut", "times": 0},
        {"effect": "cut", "verbs": "get"},
        {"effect": "expire", "resource": "nothing"},
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused(kube, plan):
    assert (await kube.refused("POST", FAULTS, plan))["code"] == 400
