"""What a kubelet reads of each ID, as devices change hands and health: only what something happened to is looked at."""

from __future__ import annotations

import asyncio

import pytest

from pydra_core import Consumption, CounterSet, Device, Inventory, Taint
from pydra_core._api.pools import local_pools
from pydra_core._legacy import listing as module
from pydra_core._legacy.listing import Listing
from pydra_core._legacy.marks import Silicon
from pydra_core._legacy.units import Offer, Offering
from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import DeviceUse, Prepared, Released
from pydra_core.resources import Resource, ResourceDevice

NODE, CARD, SEAT = "node-1", "acme.example/card", "acme.example/seat"
ALIAS = "acme.example/alias"
PART = Consumption("chip", {"halves": "1"})
INVENTORY = Inventory(
    Device("card-0"),
    Device("card-1"),
    Device("half-a", consumes=(PART,)),
    Device("half-b", consumes=(PART,)),
    Device("worn", taints=(Taint(key="acme.example/worn"),)),
    counter_sets=(CounterSet("chip", {"halves": "2"}),),
)
NAMES = [device.name for device in INVENTORY.devices if not device.taints]
RESOURCES = [
    Resource(CARD, tuple(ResourceDevice(id=name, devices=(name,)) for name in NAMES)),
    Resource(
        SEAT, tuple(ResourceDevice(id=f"s{n}", devices=("card-0",), share=str(n)) for n in range(2))
    ),
]


class Node:
    """A ledger, what is sick, and the lists made of them."""

    def __init__(self):
        self.ledger, self.sick, silicon = Ledger(), frozenset(), Silicon()
        silicon.found(local_pools(INVENTORY, NODE))
        self.offer = Offering("card.acme.example", NODE).make(RESOURCES, INVENTORY, Offer())
        self.listing = Listing(lambda: self.ledger, lambda: self.sick, silicon)
        self.listing.take(self.offer)
        self.news = {name: asyncio.Event() for name in (CARD, SEAT)}
        for name, news in self.news.items():
            self.listing.add_reader(name, news)

    def pod_has(self, resource, name):
        unit = self.offer.units[resource][name]
        self.ledger.apply(Prepared(unit.ref.uid, "", name, unit.uses, (), resource=resource))

    def claim_has(self, device, share=""):
        use = DeviceUse(NODE, device, share)
        self.ledger.apply(Prepared(f"uid-{device}{share}", "default", "c", (use,), ()))

    async def unhealthy(self):
        """The IDs that cannot be had, after a look; and of whose lists the readers were told."""
        for news in self.news.values():
            news.clear()
        self.listing.look_again()
        await asyncio.sleep(0.01)
        ids = {
            device.ID
            for name in (CARD, SEAT)
            for device in pb.ListAndWatchResponse.FromString(self.listing.whole(name)).devices
            if device.health == "Unhealthy"
        }
        return ids, {name for name, news in self.news.items() if news.is_set()}


@pytest.fixture
async def node(monkeypatch):
    monkeypatch.setattr(module, "_GATHER", 0.0)
    return Node()


async def test_a_whole_device_is_unhealthy_as_its_seats_are_while_a_pod_has_a_seat(node):
    node.pod_has(SEAT, "s0")
    assert await node.unhealthy() == ({"card-0"}, {CARD})
    node.pod_has(SEAT, "s1")
    assert await node.unhealthy() == ({"card-0"}, set())
    for name in ("s0", "s1"):
        node.ledger.apply(Released(node.offer.units[SEAT][name].ref.uid))
    assert await node.unhealthy() == (set(), {CARD})


async def test_a_seat_that_two_resources_offer_is_unhealthy_in_the_one_while_a_pod_has_it_of_the_other(
    node,
):
    other = Resource(ALIAS, (ResourceDevice(id="a0", devices=("card-0",), share="0"),))
    offering = Offering("card.acme.example", NODE)
    node.listing.take(offering.make([*RESOURCES, other], INVENTORY, Offer()))
    uses = node.offer.units[SEAT]["s0"].uses
    ref = offering.ref(ALIAS, "a0")
    node.ledger.apply(Prepared(ref.uid, "", "a0", uses, (), resource=ALIAS))
    assert await node.unhealthy() == ({"s0", "card-0"}, {CARD, SEAT})


async def test_a_list_that_is_the_same_can_be_sent_again_to_all_that_read_one(node):
    gone = asyncio.Event()
    node.listing.add_reader(CARD, gone)
    node.listing.remove_reader(CARD, gone)
    before = node.listing.whole(CARD)
    node.listing.send_again()
    assert {name for name, news in node.news.items() if news.is_set()} == {CARD, SEAT}
    assert (node.listing.whole(CARD), gone.is_set()) == (before, False)


async def test_what_the_driver_taints_is_unhealthy(node):
    worn = Resource(CARD, (ResourceDevice(id="worn", devices=("worn",)),))
    node.listing.take(Offering("card.acme.example", NODE).make([worn], INVENTORY, Offer()))
    assert await node.unhealthy() == ({"worn"}, set())


async def test_seats_are_unhealthy_while_a_pod_has_the_device(node):
    node.pod_has(CARD, "card-0")
    assert await node.unhealthy() == ({"s0", "s1"}, {SEAT})


async def test_a_claims_share_keeps_the_device_and_all_its_seats_from_pods(node):
    node.claim_has("card-0", "a-share")
    assert await node.unhealthy() == ({"card-0", "s0", "s1"}, {CARD, SEAT})


async def test_what_is_partly_the_same_is_kept_from_pods_by_claims_alone(node):
    node.pod_has(CARD, "half-a")
    assert await node.unhealthy() == (set(), set())
    node.claim_has("half-b")
    assert await node.unhealthy() == ({"half-a", "half-b"}, {CARD})
    node.ledger.apply(Released("uid-half-b"))
    assert await node.unhealthy() == (set(), {CARD})


async def test_the_sick_and_the_well_again_are_told(node):
    node.sick = frozenset({(NODE, "card-1")})
    assert await node.unhealthy() == ({"card-1"}, {CARD})
    assert await node.unhealthy() == ({"card-1"}, set())
    node.sick = frozenset()
    assert await node.unhealthy() == (set(), {CARD})


async def test_a_ledger_that_was_read_anew_is_looked_at_as_a_whole(node):
    node.claim_has("card-1")
    assert await node.unhealthy() == ({"card-1"}, {CARD})
    node.ledger = Ledger()
    assert await node.unhealthy() == (set(), {CARD})


async def test_more_changes_than_are_remembered_are_all_seen(node):
    node.claim_has("card-1")
    for _ in range(2000):
        node.claim_has("card-0")
    assert await node.unhealthy() == ({"card-0", "card-1", "s0", "s1"}, {CARD, SEAT})


async def test_another_offer_tells_the_readers_of_the_lists_that_are_others_now(node):
    fewer = [RESOURCES[0], Resource(SEAT, RESOURCES[1].devices[:1])]
    node.listing.take(Offering("card.acme.example", NODE).make(fewer, INVENTORY, node.offer))
    assert {name for name, news in node.news.items() if news.is_set()} == {SEAT}


async def test_it_goes_on_to_look_after_a_close_with_a_look_under_way(node):
    """The job that serves resources was ended by an error and starts again."""
    node.listing.look_again()
    node.listing.close()
    node.claim_has("card-1")
    assert await node.unhealthy() == ({"card-1"}, {CARD})


async def test_a_reader_that_has_gone_is_told_no_more(node):
    node.listing.remove_reader(CARD, node.news[CARD])
    node.claim_has("card-1")
    assert await node.unhealthy() == ({"card-1"}, set())
