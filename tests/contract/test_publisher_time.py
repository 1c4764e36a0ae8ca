"""How long the publisher takes and how long it waits, in virtual time: the server is in the same process."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
import virtual_time
from unruly_api import unruly_api

from pydra_core import Device, Inventory
from pydra_core._api.access import Access
from pydra_core._api.client import KubeClient
from pydra_core._api.pools import local_pools
from pydra_core._api.publisher import Publisher
from pydra_core._telemetry.metrics import Metrics
from pydra_testbed.api import ApiServer
from pydra_testbed.clock import RealClock
from pydra_testbed.objects import ObjectRef, Patch, Selection

NODE, DRIVER = "node-1", "card.acme.example"
SLICES = "resourceslices"
LONG = 700.0


class Registration:
    """Whether the kubelet knows the driver, as a test says."""

    def __init__(self):
        self.known = asyncio.Event()
        self.wait = self.known.wait


class Node:
    """A publisher, an API server, and who looks at the clock."""

    def __init__(self, server, client):
        self.api, self.faults = server.local, server.faults
        self.registration = Registration()
        self.publisher = Publisher(client, DRIVER, NODE, self.registration, Metrics(DRIVER))
        self.told = []
        self.wiped = asyncio.Event()
        self.publisher.on_wiped = self.wiped.set
        self.publisher.on_trouble = lambda reason, _: self.told.append(reason)

    def want(self, count):
        devices = (Device(f"card-{n}") for n in range(count))
        self.publisher.want(local_pools(Inventory(*devices), NODE))

    async def until(self, count):
        """Seconds until there are so many slices."""
        began = now()
        if len(await self.slices()) != count:
            async for _ in self.api.watch(SLICES):
                if len(await self.slices()) == count:
                    break
        return now() - began

    async def until_made_again(self):
        """Seconds from the end of the first slice until there is one that stays."""
        await self.wiped.wait()
        return await self.until(1)

    async def slices(self):
        return (await self.api.list(SLICES)).items

    async def generation(self):
        (found,) = {s["spec"]["pool"]["generation"] for s in await self.slices()}
        return found

    async def wipe(self):
        await self.api.delete_collection(SLICES, Selection())

    async def change(self):
        """Somebody writes into the driver's slice."""
        ref = ObjectRef(SLICES, f"{NODE}-{DRIVER}-0000")
        await self.api.patch(ref, Patch({"spec": {"devices": [{"name": "intruder"}]}}))

    async def is_undone(self):
        """Seconds until the slice is the driver's again."""
        began = now()
        async for _ in self.api.watch(SLICES):
            if (await self.slices())[0]["spec"]["devices"][0]["name"] != "intruder":
                return now() - began
        raise AssertionError("the watch ended")


def now():
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def node(count=3):
    server = ApiServer(RealClock())
    await server.local.create("nodes", {"metadata": {"name": NODE}})
    async with server.listen() as upstream, unruly_api(upstream) as (door, url):
        client = KubeClient(Access(url, str, None))
        made = Node(server, client)
        made.door = door
        made.want(count)
        running = asyncio.ensure_future(made.publisher.run())
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.close()


@pytest.fixture
def play(monkeypatch):
    return lambda story: virtual_time.run(story(), monkeypatch)


def test_wiped_slices_are_back_within_a_second(play):
    async def story():
        async with node(300) as made:
            made.registration.known.set()
            await made.until(3)
            generations = [await made.generation()]
            for pause in (0, 60, LONG, *[1] * 6):
                await asyncio.sleep(pause)
                await made.wipe()
                assert await made.until(3) < 1.0
                generations.append(await made.generation())
            assert generations == sorted(set(generations))
            assert made.told == []

    play(story)


def test_one_slice_of_several_is_back_within_a_second_and_nothing_else_is_written(play):
    async def story():
        async with node(300) as made:
            made.registration.known.set()
            await made.until(3)
            before = {s["metadata"]["name"]: s for s in await made.slices()}
            await made.api.delete(ObjectRef(SLICES, f"{NODE}-{DRIVER}-0001"))
            assert await made.until(3) < 1.0
            after = {s["metadata"]["name"]: s for s in await made.slices()}
            same = [n for n in before if before[n] == after[n]]
            assert same == [f"{NODE}-{DRIVER}-0000", f"{NODE}-{DRIVER}-0002"]

    play(story)


def test_what_is_wiped_while_the_kubelet_does_not_know_the_driver_waits_for_it_and_is_back_in_a_second(
    play,
):
    async def story():
        async with node() as made:
            await asyncio.sleep(LONG)
            assert not await made.slices()
            made.registration.known.set()
            assert await made.until(1) < 1.0
            made.registration.known.clear()
            await made.wipe()
            made.want(4)
            await asyncio.sleep(LONG)
            assert not await made.slices()
            made.registration.known.set()
            assert await made.until(1) < 1.0

    play(story)


def test_what_other_nodes_publish_is_left_alone_whenever_it_comes(play):
    async def story():
        async with node() as made:
            made.registration.known.set()
            await made.until(1)
            (body,) = await made.slices()
            pool = {"name": "node-2", "generation": 1, "resourceSliceCount": 1}
            theirs = {
                "metadata": {"name": "theirs"},
                "spec": {"driver": DRIVER, "nodeName": "node-2", "pool": pool, "devices": body["spec"]["devices"]},
            }  # fmt: skip
            await made.api.create(
                SLICES, {"apiVersion": body["apiVersion"], "kind": body["kind"], **theirs}
            )
            made.want(4)
            await asyncio.sleep(60)
            assert len(await made.slices()) == 2

    play(story)


def test_a_slice_is_deleted_as_it_was_seen_and_looked_at_again_if_it_is_another(play):
    async def story():
        async with node() as made:
            pool = {"name": NODE, "generation": 5, "resourceSliceCount": 1}
            body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice"}
            body |= {
                "metadata": {"name": "old"},
                "spec": {"driver": DRIVER, "nodeName": NODE, "pool": pool},
            }
            await made.api.create(
                SLICES, {**body, "spec": {**body["spec"], "devices": [{"name": "a"}]}}
            )
            refused = []

            async def delete(request):
                change = Patch({"spec": {"devices": [{"name": "b"}]}})
                await made.api.patch(ObjectRef(SLICES, "old"), change)
                answer = await made.door.forward(request)
                refused.append(answer.status)
                return answer

            made.door.plan("delete", delete)
            made.registration.known.set()
            await asyncio.sleep(60)
            names = [s["metadata"]["name"] for s in await made.slices()]
            assert (names, refused) == ([f"{NODE}-{DRIVER}-0000"], [409])

    play(story)


@pytest.mark.parametrize(("told", "waits"), [(7, (7, 9.2)), (86_400, (300, 391))])
def test_a_throttling_server_is_obeyed_within_reason(play, told, waits):
    async def story():
        async with node() as made:
            made.faults.fail("create", SLICES, 429, retry_after=told)
            made.registration.known.set()
            assert waits[0] <= await made.until(1) < waits[1]

    play(story)


def test_a_server_that_fails_for_long_is_asked_ever_more_seldom_and_served_soon_after(play):
    async def story():
        async with node() as made:
            made.faults.fail("list", SLICES, 503, times=10_000)
            made.registration.known.set()
            await asyncio.sleep(LONG)
            assert 15 < 10_000 - made.faults.planned()[0]["times"] < 40
            made.faults.clear()
            assert await made.until(1) < 40

    play(story)


def test_a_watch_that_lasted_is_taken_up_again_at_once(play):
    async def story():
        async with node() as made:
            made.registration.known.set()
            await made.until(1)
            for _ in range(8):
                await asyncio.sleep(60)
                made.faults.drop_watches()
                await made.wipe()
                assert await made.until(1) < 1.0

    play(story)


def test_many_changes_at_once_are_one_write(play):
    async def story():
        async with node() as made:
            made.registration.known.set()
            await made.until(1)
            for count in range(4, 30):
                made.want(count)
                await asyncio.sleep(0)
            await asyncio.sleep(1)
            (body,) = await made.slices()
            assert (len(body["spec"]["devices"]), body["metadata"]["generation"]) == (29, 2)

    play(story)


def test_many_changes_of_its_own_are_no_other_publisher(play):
    async def story():
        async with node() as made:
            made.registration.known.set()
            await made.until(1)
            for count in range(4, 20):
                made.want(count)
                await asyncio.sleep(1)
                (body,) = await made.slices()
                assert len(body["spec"]["devices"]) == count
            assert made.told == []

    play(story)


def test_another_publisher_is_left_alone_for_ever_longer_up_to_ten_minutes(play, caplog):
    caplog.set_level(logging.CRITICAL)

    async def story():
        async with node() as made:
            made.registration.known.set()
            await made.until(1)
            pauses = []
            for _ in range(25):
                await asyncio.sleep(0.5)
                await made.change()
                pauses.append(round(await made.is_undone()))
            assert pauses[:9] == [0, 0, 0, 0, 60, 0, 0, 0, 120]  # less patient from then on
            assert sorted(set(pauses)) == [0, 60, 120, 240, 480, 600]
            assert made.told == ["AnotherPublisher"] * sum(p > 0 for p in pauses)
            await asyncio.sleep(LONG)
            for pause in (0, 0, 0, 0, 60):
                await made.change()
                assert round(await made.is_undone()) == pause

    play(story)


def test_a_slice_that_is_deleted_before_its_creation_is_answered_comes_back(play):
    """The watch tells of its end first; what the answer then says of it is old."""

    async def story():
        async with node() as made:

            async def create(request):
                answer = await made.door.forward(request)
                await made.wipe()
                await made.wiped.wait()
                return answer

            made.door.plan("post", create)
            made.registration.known.set()
            assert await made.until_made_again() < 1.0

    play(story)


def test_who_stops_to_lead_between_two_writes_makes_only_the_first(play):
    async def story():
        async with node(300) as made:
            leads = [True, True]
            made.publisher.leads = lambda: bool(leads and leads.pop())
            made.registration.known.set()
            await made.until(1)
            await asyncio.sleep(60)
            assert len(await made.slices()) == 1
            made.publisher.leads = lambda: True
            made.publisher.look_again()
            assert await made.until(3) < 1.0

    play(story)


def test_an_instance_that_does_not_lead_writes_nothing_and_is_ready(play):
    async def story():
        async with node() as made:
            made.publisher.leads = lambda: False
            made.registration.known.set()
            await asyncio.sleep(60)
            assert made.publisher.problem == ""
            assert set(made.door.seen) == {"list", "watch"}

    play(story)
