from __future__ import annotations

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
