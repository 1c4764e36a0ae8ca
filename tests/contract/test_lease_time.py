"""Never two who may write: instances of a publisher and their lease, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import virtual_time
from unruly_api import unruly_api

from pydra_core._api.access import Access
from pydra_core._api.client import KubeClient
from pydra_core._api.lease import Lease
from pydra_testbed.api import ApiServer
from pydra_testbed.clock import RealClock
from pydra_testbed.objects import ObjectRef, Patch

DURATION = 30
REF = ObjectRef("leases", "card-publish", "default")


class Cluster:
    """An API server; `a` reaches it through a door that a test closes, `b` directly."""

    def __init__(self, api, door, a, b):
        self.api, self.door, self.a, self.b = api, door, a, b
        self.jobs = []

    def run(self, lease):
        self.jobs.append(asyncio.ensure_future(lease.run()))

    async def watch(self, seconds):
        """Look twice a second that not both hold; who held, and how often it was seen."""
        seen = {"a": 0, "b": 0, "nobody": 0}
        for _ in range(seconds * 2):
            await asyncio.sleep(0.5)
            a, b = self.a.holds(), self.b.holds()
            assert not (a and b)
            seen["a" if a else "b" if b else "nobody"] += 1
        return seen

    async def holder(self):
        return (await self.api.get("leases", REF.name, REF.namespace))["spec"].get("holderIdentity")


@asynccontextmanager
async def cluster():
    server = ApiServer(RealClock())
    async with server.listen() as upstream, unruly_api(upstream) as (door, url):
        clients = [KubeClient(Access(u, str, None)) for u in (url, upstream)]
        leases = [
            Lease(client, "default", "card-publish", me, DURATION)
            for client, me in zip(clients, "ab", strict=True)
        ]
        made = Cluster(server.local, door, *leases)
        try:
            yield made
        finally:
            door.answering.set()
            for job in made.jobs:
                job.cancel()
            await asyncio.gather(*made.jobs, return_exceptions=True)
            for client in clients:
                await client.close()


@pytest.fixture
def play(monkeypatch):
    return lambda story: virtual_time.run(story(), monkeypatch)


def test_who_renews_in_time_keeps_the_lease(play):
    async def story():
        async with cluster() as made:
            made.run(made.a)
            await made.a.wait()
            made.run(made.b)
            assert await made.watch(5 * DURATION) == {"a": 10 * DURATION, "b": 0, "nobody": 0}

    play(story)


def test_a_holder_that_cannot_renew_stops_before_the_next_begins(play):
    async def story():
        async with cluster() as made:
            made.run(made.a)
            await made.a.wait()
            made.run(made.b)
            await made.watch(DURATION)
            made.door.answering.clear()
            seen = await made.watch(2 * DURATION)
            assert min(seen.values()) > 0
            assert await made.holder() == "b"
            made.door.answering.set()
            assert (await made.watch(2 * DURATION))["a"] == 0

    play(story)


def test_a_holder_whose_lease_somebody_took_stops_at_its_next_look(play):
    async def story():
        async with cluster() as made:
            made.run(made.a)
            await made.a.wait()
            await made.api.patch(REF, Patch({"spec": {"holderIdentity": "somebody"}}))
            await asyncio.sleep(DURATION / 6 + 1)
            assert not made.a.holds()

    play(story)


def test_nobody_gives_back_what_is_anothers(play):
    async def story():
        async with cluster() as made:
            made.run(made.a)
            await made.a.wait()
            await made.api.patch(REF, Patch({"spec": {"holderIdentity": "somebody"}}))
            await made.a.release()
            assert await made.holder() == "somebody"

    play(story)
