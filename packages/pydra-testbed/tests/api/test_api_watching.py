from __future__ import annotations

import asyncio

import aiohttp


async def test_a_watch_without_a_version_starts_with_what_is_there(kube, samples):
    await kube.ok("POST", kube.slices, samples("slice", metadata__name="a"))
    await kube.ok("POST", kube.slices, samples("slice", metadata__name="b"))
    async with (
        kube.watch(kube.slices) as watch,
        kube.watch(kube.slices, resourceVersion="0") as zero,
    ):
        assert await watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
        await kube.ok("DELETE", f"{kube.slices}/a")
        assert await watch.take(1) == [("DELETED", "a")]
        assert await zero.take(3) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


async def test_a_watch_from_a_version_replays_what_came_after_it(kube, samples):
    listed = await kube.ok("GET", kube.slices)
    created = await kube.ok("POST", kube.slices, samples("slice"))
    changed = await kube.ok("PUT", f"{kube.slices}/s1", samples("slice", spec__devices=[]))
    removed = await kube.ok("DELETE", f"{kube.slices}/s1")
    async with kube.watch(
        kube.slices, resourceVersion=listed["metadata"]["resourceVersion"]
    ) as watch:
        events = [await watch.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event["object"] for event in events[:2]] == [created, changed]
    assert events[2]["object"]["spec"] == changed["spec"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions)
    assert versions[2] == int(removed["metadata"]["resourceVersion"])


async def test_objects_enter_and_leave_a_selection_as_added_and_deleted(kube, samples):
    async with kube.watch(kube.slices, labelSelector="tier=gold", resourceVersion="0") as watch:
        await kube.ok("POST", kube.slices, samples("slice"))
        gold = samples("slice", metadata__labels={"tier": "gold"})
        entered = await kube.ok("PUT", f"{kube.slices}/s1", gold)
        gold["spec"]["devices"] = []
        await kube.ok("PUT", f"{kube.slices}/s1", gold)
        left = await kube.ok("PUT", f"{kube.slices}/s1", samples("slice"))
        await kube.ok("DELETE", f"{kube.slices}/s1")
        events = [await watch.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[0]["object"] == entered
    last = events[2]["object"]["metadata"]
    assert last["labels"] == {"tier": "gold"}
    assert last["resourceVersion"] == left["metadata"]["resourceVersion"]


async def test_a_node_sees_its_own_slices_and_pods_alone(kube, samples):
    async with kube.watch(kube.slices, fieldSelector="spec.nodeName=node2") as watch:
        await kube.ok("POST", kube.slices, samples("slice", metadata__name="a"))
        other = samples("slice", metadata__name="b", spec__nodeName="node2")
        await kube.ok("POST", kube.slices, other)
        assert await watch.take(1) == [("ADDED", "b")]


async def test_a_version_that_left_the_window_is_answered_gone(kube, server, samples):
    listed = await kube.ok("GET", kube.slices)
    await kube.ok("POST", kube.slices, samples("slice"))
    server.forget_changes("resourceslices")
    version = listed["metadata"]["resourceVersion"]
    status = await kube.refused("GET", kube.slices, watch="1", resourceVersion=version)
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("too old resource version")


async def test_a_running_watch_that_falls_out_of_the_window_ends_with_an_error_event(
    kube, server, samples
):
    async with kube.watch(kube.slices) as watch:
        await server.local.create("resourceslices", samples("slice"))
        server.forget_changes("resourceslices")
        event = await watch.next()
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert await watch.next() is None


async def test_a_version_from_another_life_of_the_server_is_refused(kube):
    status = await kube.refused("GET", kube.slices, watch="1", resourceVersion="999999")
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert "Too large resource version" in status["message"]


async def test_a_watch_ends_when_its_time_is_over(kube, clock):
    async with kube.watch(kube.slices, timeoutSeconds="5") as watch:
        await clock.advance(6)
        assert await watch.next() is None


async def test_bookmarks_move_an_idle_watch_on(kube, clock):
    async with kube.watch(kube.slices, allowWatchBookmarks="true") as watch:
        made = await kube.ok("POST", kube.maps, {"metadata": {"name": "m"}})
        await clock.advance(61)
        event = await watch.next()
    assert event["type"] == "BOOKMARK"
    assert event["object"]["kind"] == "ResourceSlice"
    assert event["object"]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_initial_events_end_with_a_marked_bookmark(kube, samples):
    await kube.ok("POST", kube.slices, samples("slice"))
    async with kube.watch(
        kube.slices,
        sendInitialEvents="true",
        allowWatchBookmarks="true",
        resourceVersionMatch="NotOlderThan",
    ) as watch:
        assert await watch.take(1) == [("ADDED", "s1")]
        mark = await watch.next()
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_fifty_watchers_each_see_every_change_in_order(kube, samples):
    count = 200

    async def follow(started: asyncio.Event) -> list[str]:
        async with kube.watch(kube.slices) as watch:
            started.set()
            return [name for _, name in await watch.take(count)]

    started = [asyncio.Event() for _ in range(50)]
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(follow(event)) for event in started]
        for event in started:
            await event.wait()
        for index in range(count):
            body = samples("slice", metadata__name=f"s{index:03}")
            await kube.ok("POST", kube.slices, body)
    expected = [f"s{index:03}" for index in range(count)]
    assert all(watcher.result() == expected for watcher in watchers)


async def test_leaving_the_server_ends_its_watches(server):
    async with aiohttp.ClientSession() as session:
        async with server.listen() as url:
            watch = await session.get(f"{url}/apis/resource.k8s.io/v1/resourceslices?watch=1")
        assert await watch.content.read() == b""


async def test_a_watch_with_nonsense_for_a_version_is_refused(kube):
    for query in ({"resourceVersion": "abc"}, {"timeoutSeconds": "soon"}):
        assert (await kube.refused("GET", kube.slices, watch="1", **query))["code"] == 400
