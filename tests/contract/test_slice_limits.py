"""What the framework publishes against what Kubernetes takes, over random inventories."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from inventories import inventories, pools, reached, scattered, shared

from pydra_core import Capacity, Device, Inventory, RequestPolicy
from pydra_core._api.access import Access
from pydra_core._api.client import KubeClient
from pydra_core._api.plan import Owner, plan
from pydra_core._api.pools import local_pools
from pydra_core._api.publisher import Publisher
from pydra_core._api.render import slice_contents
from pydra_core._api.rules import check, faults_by_pool
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import InventoryError
from pydra_testbed.api import ApiServer
from pydra_testbed.clock import RealClock
from pydra_testbed.objects import ApiStatusError, ObjectRef

NODE, DRIVER = "node-1", "card.acme.example"
OWNER = Owner(NODE, "11111111-1111-4111-8111-111111111111")
SLOWLY = [HealthCheck.too_slow, HealthCheck.data_too_large]


def contents_of(inventory):
    return slice_contents(local_pools(inventory, NODE), NODE)


async def refusal(contents, owner=OWNER):
    """Why the API server refuses what would be published; empty if it takes all."""
    for write in plan([], contents, DRIVER, owner):
        try:
            await SERVER.local.create("resourceslices", write.body)
        except ApiStatusError as err:
            return err.message
        ref = ObjectRef("resourceslices", write.body["metadata"]["name"])
        await SERVER.local.delete(ref)
    return ""


SERVER = ApiServer(RealClock())
ROUNDED = RequestPolicy(default="2", valid_values=("1500m", "2"))
"""Two values that the API server counts as one, in whole numbers."""
STRICTER = re.compile("does not exist|its domain must be|has no counter")
"""What the rules refuse and one slice alone does not show the API server, or it does not mind."""


def faults_of(inventory):
    try:
        check(inventory)
    except InventoryError as err:
        return err.fields["faults"]
    return ()


def compare(inventory):
    faults = faults_of(inventory)
    event("refused" if faults else "taken")
    if any("no quantity" in fault for fault in faults):
        return  # there is no way to spell it for the server
    said = asyncio.run(refusal(contents_of(inventory)))
    assert bool(said) == bool([f for f in faults if not STRICTER.search(f)]) or (faults and said)


@settings(max_examples=120, deadline=None, suppress_health_check=SLOWLY)
@given(inventories())
def test_an_inventory_passes_the_rules_exactly_if_the_api_server_takes_it(inventory):
    compare(inventory)


@settings(max_examples=120, deadline=None, suppress_health_check=SLOWLY)
@given(shared())
@example(Inventory(Device("card-0", capacity={"m": Capacity("2", ROUNDED)}, shareable=True)))
def test_a_capacity_with_a_policy_passes_exactly_if_the_api_server_takes_it(inventory):
    compare(inventory)


@settings(max_examples=80, deadline=None, suppress_health_check=SLOWLY)
@given(reached())
def test_who_reaches_a_pool_passes_the_rules_exactly_if_the_api_server_takes_it(pool):
    faults = faults_by_pool([pool], "")
    event("refused" if faults else "taken")
    assert bool(asyncio.run(refusal(slice_contents([pool]), None))) == bool(faults)


class Node:
    """A publisher, an API server, and somebody who reads the pool at every change."""

    def __init__(self, server, client):
        self.api = server.local
        registered = asyncio.Event()
        registered.set()
        self.publisher = Publisher(client, DRIVER, NODE, registered, Metrics(DRIVER))
        self.slices = {}
        self.allowed = []
        self.seen = asyncio.Event()

    async def watch(self):
        async for change in self.api.watch("resourceslices"):
            body = change.object
            self.slices[body["metadata"]["name"]] = body["spec"]
            if change.type == "DELETED":
                self.slices.pop(body["metadata"]["name"], None)
            self.check()
            self.seen.set()

    def devices(self):
        """The devices consumers would use now; None while the pool is incomplete."""
        newest = max((s["pool"]["generation"] for s in self.slices.values()), default=0)
        current = [s for _, s in sorted(self.slices.items()) if s["pool"]["generation"] == newest]
        if not current or {s["pool"]["resourceSliceCount"] for s in current} != {len(current)}:
            return None
        return [strip(d) for s in current for d in s.get("devices") or []]

    def check(self):
        found = self.devices()
        assert found is None or found in self.allowed, "a pool that was never wished for"

    async def publish(self, inventory):
        contents = contents_of(inventory)
        wish = [strip(d) for c in contents[NODE] for d in c.get("devices") or []]
        self.allowed.append(wish)
        self.publisher.want(local_pools(inventory, NODE))
        await self.until(wish)
        self.allowed[:] = [wish]

    async def until(self, wish):
        while self.devices() != wish:
            self.seen.clear()
            await self.seen.wait()


class Pools:
    """A publisher of several pools, and somebody who reads all of them at every change."""

    def __init__(self, node):
        self.api, self.publisher = node.api, node.publisher
        self.usable, self.wrong = None, False
        self.moved = asyncio.Event()
        self.wished = {}

    async def watch(self):
        slices = {}
        async for change in self.api.watch("resourceslices"):
            body = change.object
            slices[body["metadata"]["name"]] = body["spec"]
            if change.type == "DELETED":
                slices.pop(body["metadata"]["name"], None)
            self.usable = usable(slices)
            everything = [d for names in self.usable.values() for d in names]
            self.wrong |= len(everything) != len(set(everything))
            self.wrong |= any(names not in self.wished[p] for p, names in self.usable.items())
            self.moved.set()

    async def publish(self, inventory):
        found = local_pools(inventory, NODE)
        wish = {pool.name: [d.name for d in pool.devices] for pool in found}
        for name, names in wish.items():
            self.wished.setdefault(name, []).append(names)
        self.publisher.want(found)
        while self.usable != wish:
            self.moved.clear()
            await self.moved.wait()
            assert not self.wrong, "a device was in two pools, or a pool as nobody wished for it"


def usable(slices):
    """Pool to the names of its devices, of pools that consumers would use now."""
    found = {}
    for pool in {spec["pool"]["name"] for spec in slices.values()}:
        mine = [s for _, s in sorted(slices.items()) if s["pool"]["name"] == pool]
        newest = max(s["pool"]["generation"] for s in mine)
        current = [s for s in mine if s["pool"]["generation"] == newest]
        if {s["pool"]["resourceSliceCount"] for s in current} == {len(current)}:
            found[pool] = [d["name"] for s in current for d in s.get("devices") or []]
    return found


def strip(device):
    taints = [{k: v for k, v in t.items() if k != "timeAdded"} for t in device.get("taints", [])]
    return {**device, "taints": taints}


@asynccontextmanager
async def node(watched=None):
    server = ApiServer(RealClock())
    await server.local.create("nodes", {"metadata": {"name": NODE}})
    async with server.listen() as url:
        client = KubeClient(Access(url, str, None))
        made = Node(server, client)
        made = watched(made) if watched else made
        tasks = [asyncio.ensure_future(job) for job in (made.watch(), made.publisher.run())]
        try:
            yield made
        finally:
            done = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()
            for task in done:
                task.result()


async def tell(story):
    async with node() as made, asyncio.timeout(30):
        for pool, wiped in story:
            await made.publish(pool)
            if wiped and made.slices:
                for name in sorted(made.slices)[: 1 if wiped == "one" else None]:
                    await made.api.delete(ObjectRef("resourceslices", name))
                    made.slices.pop(name, None)
                await made.until(made.allowed[0])


@settings(max_examples=12, deadline=None, suppress_health_check=SLOWLY)
@given(st.lists(st.tuples(pools(), st.sampled_from(("", "one", "all"))), min_size=2, max_size=4))
def test_at_every_moment_the_pool_is_incomplete_or_one_that_was_wished_for(story):
    asyncio.run(tell(story))


async def move(story):
    async with node(Pools) as made, asyncio.timeout(30):
        for inventory in story:
            await made.publish(inventory)


@settings(max_examples=10, deadline=None, suppress_health_check=SLOWLY)
@given(st.lists(scattered(), min_size=2, max_size=4))
def test_at_every_moment_each_device_is_in_one_pool_at_most(story):
    asyncio.run(move(story))
