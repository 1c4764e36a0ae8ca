"""What is offered as extended resources, what of it a kubelet would refuse, and which of it suits a container."""

from __future__ import annotations

import uuid

import pytest

from pydra_core import (
    Claim,
    Consumption,
    CounterSet,
    Device,
    Driver,
    Inventory,
    PreparedDevice,
    Taint,
)
from pydra_core._legacy.encoding import LARGEST, entry
from pydra_core._legacy.listing import Listing
from pydra_core._legacy.marks import Silicon
from pydra_core._legacy.preferring import preferred
from pydra_core._legacy.units import Offer, Offering
from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb
from pydra_core._state.ledger import Ledger
from pydra_core.resources import Resource, ResourceDevice
from pydra_core.values import NUMA_NODE, Pool

NAME = "acme.example/card"
CARDS = Inventory(*(Device(f"card-{n}", attributes={NUMA_NODE: n // 2}) for n in range(6)))


class Cards(Driver):
    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return CARDS

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared() for a in claim.allocations]


def made(*resources, inventory=CARDS, before=None):
    return Offering(Cards.name, "node-1").make(resources, inventory, before or Offer())


def cards(*names, name=NAME):
    return Resource(name, tuple(ResourceDevice(id=each, devices=(each,)) for each in names))


def test_an_id_is_a_claim_that_no_api_server_made():
    offer = made(cards("card-0", "card-1"))
    first, second = offer.units[NAME].values()
    assert uuid.UUID(first.ref.uid).version == 5
    assert first.ref.uid != second.ref.uid
    assert first.ref == made(cards("card-0")).units[NAME]["card-0"].ref
    (allocation,) = first.claim.allocations
    assert (allocation.pool, allocation.device, allocation.share_id) == ("node-1", "card-0", "")
    assert str(first.claim.ref) == "acme.example/card/card-0"


def test_the_same_id_of_two_resources_is_two_claims():
    offer = made(cards("card-0"), cards("card-0", name="acme.example/other"))
    assert len({unit.ref.uid for unit in offer.all_units()}) == 2


def test_an_id_may_stand_for_devices_of_several_pools_and_numa_nodes():
    far = Pool("far", (Device("card-9", attributes={NUMA_NODE: 3}),))
    inventory = Inventory(*CARDS.devices, pools=(far,))
    both = Resource(NAME, (ResourceDevice(id="pair", devices=("card-0", "card-9")),))
    (unit,) = made(both, inventory=inventory).units[NAME].values()
    assert unit.keys == (("node-1", "card-0"), ("node-1/far", "card-9"))
    assert unit.numa_nodes == (0, 3)


def test_a_numa_node_that_one_of_the_devices_does_not_tell_is_left_out():
    inventory = Inventory(CARDS.devices[0], Device("dark"))
    both = Resource(NAME, (ResourceDevice(id="pair", devices=("card-0", "dark")),))
    assert made(both, inventory=inventory).units[NAME]["pair"].numa_nodes == ()


def test_a_numa_node_that_is_none_is_left_out():
    inventory = Inventory(Device("card-0", attributes={NUMA_NODE: -1}))
    assert made(cards("card-0"), inventory=inventory).units[NAME]["card-0"].numa_nodes == ()


def test_shares_of_one_device_differ_and_the_same_share_is_the_same_under_any_name():
    one, two = (ResourceDevice(id=f"s{n}", devices=("card-0",), share=str(n)) for n in range(2))
    offer = made(Resource(NAME, (one, two)), Resource("acme.example/other", (one,)))
    first, second = (unit.uses[0].share_id for unit in offer.units[NAME].values())
    assert first != second
    assert uuid.UUID(first)
    assert offer.units["acme.example/other"]["s0"].uses[0].share_id == first


LONG_DOMAIN = f"{'a' * 59}.{'b' * 60}.{'c' * 60}.{'d' * 60}"


def test_the_longest_names_are_taken():
    longest = Resource(
        f"{LONG_DOMAIN}.e/{'c' * 63}", (ResourceDevice(id="x" * 63, devices=("card-0",)),)
    )
    assert made(longest).faults == ()


@pytest.mark.parametrize(
    ("resource", "fault"),
    [
        (cards("card-0", name="card"), "must be `domain/name`"),
        (cards("card-0", name="kubernetes.io/card"), "kubernetes.io belongs to Kubernetes"),
        (cards("card-0", name="x.kubernetes.io/card"), "kubernetes.io belongs to Kubernetes"),
        (cards("card-0", name="requests.acme.example/card"), "must not begin with `requests.`"),
        (cards("card-0", name="Acme/card"), "'Acme' before the slash must be a DNS subdomain"),
        (cards("card-0", name="acme.example/-card"), "'-card' behind the slash must be at most 63"),
        (cards("card-0", name="acme.example/" + "c" * 64), "must be at most 63 letters"),
        (cards("card-0", name=f"{LONG_DOMAIN}.aa/card"), "must be a DNS subdomain of at most 244"),
        (cards("card-0", "card-0"), "ID 'card-0' is there twice"),
        (cards("card-7"), "stands for 'card-7', which discover did not return"),
        (Resource(NAME, (ResourceDevice(id="x", devices=()),)), "must stand for one device or more"),
        (Resource(NAME, (ResourceDevice(id="x" * 64, devices=("card-0",)),)), "must be 1 to 63"),
        (Resource(NAME, (ResourceDevice(id="", devices=("card-0",)),)), "must be 1 to 63"),
        (Resource(NAME, (ResourceDevice(id="a b", devices=("card-0",)),)), "must not hold spaces"),
        (
            Resource(NAME, (ResourceDevice(id="x", devices=("card-0",), numa_nodes=(-1,)),)),
            "a NUMA node is 0 or more",
        ),
    ],
)  # fmt: skip
def test_what_a_kubelet_would_refuse_is_told_in_words_and_takes_no_other_resource_along(
    resource, fault
):
    offer = made(resource, cards("card-1", name="acme.example/good"))
    assert list(offer.units) == ["acme.example/good"]
    (told,) = offer.faults
    assert fault in told
    assert told.endswith("(a bug of the driver)")


def test_a_resource_with_a_fault_stays_as_it_was():
    before = made(cards("card-0"))
    after = made(cards("card-0", "card-9"), before=before)
    assert after.units == before.units
    assert after.faults


def test_a_resource_that_is_returned_twice_is_a_fault():
    before = made(cards("card-2"))
    offer = made(cards("card-0"), cards("card-1"), before=before)
    assert "is returned twice" in offer.faults[0]
    assert list(offer.units[NAME]) == ["card-0"]
    assert [each.id for each in offer.resources[NAME].devices] == ["card-0"]


def test_what_draws_on_counters_is_left_to_claims_where_there_are_any():
    part = Consumption("card", {"slices": "1"})
    inventory = Inventory(
        Device("card-0", consumes=(part,)),
        Device("card-1"),
        counter_sets=(CounterSet("card", {"slices": "4"}),),
    )
    offering, resources = Offering(Cards.name, "node-1"), [cards("card-0", "card-1")]
    alone = offering.make(resources, inventory, Offer())
    beside = offering.make(resources, inventory, Offer(), with_counters=False)
    assert list(alone.units[NAME]) == ["card-0", "card-1"]
    assert list(beside.units[NAME]) == ["card-1"]


def many(count):
    inventory = Inventory(Device("card-0", attributes={NUMA_NODE: 1}))
    shares = (
        ResourceDevice(
            id=f"GPU-{uuid.UUID(int=n // 100)}::{n % 100}", devices=("card-0",), share=str(n)
        )
        for n in range(count)
    )
    return made(Resource(NAME, tuple(shares)), inventory=inventory)


def test_twenty_thousand_ids_fit_into_what_the_kubelets_grpc_takes():
    listing = Listing(Ledger, lambda: frozenset({("node-1", "card-0")}), Silicon())
    listing.take(many(20_000))
    whole = listing.whole(NAME)
    listed = pb.ListAndWatchResponse.FromString(whole).devices
    assert len(listed) == 20_000
    assert {device.health for device in listed} == {"Unhealthy"}  # the longer of the two words
    assert len(whole) < LARGEST == 4 << 20


def test_a_list_that_the_kubelet_would_not_take_is_refused_with_its_size():
    (fault,) = many(80_000).faults
    assert "its 80000 IDs make a list of" in fault
    assert "the kubelet takes 4194304" in fault


@pytest.mark.parametrize("more", [0, 1])
def test_a_list_is_measured_with_the_numa_nodes_of_its_devices(more):
    inventory = Inventory(Device("card-0", attributes={NUMA_NODE: 1}))
    each = len(entry("x" * 63, is_well=False, numa_nodes=(1,)))
    ids = (f"{n:063}" for n in range(LARGEST // each + more))
    shares = tuple(ResourceDevice(id=name, devices=("card-0",), share=name) for name in ids)
    assert bool(made(Resource(NAME, shares), inventory=inventory).faults) == bool(more)


def test_a_device_that_the_driver_taints_is_not_for_pods():
    sick = Inventory(
        Device("card-0", taints=(Taint(key="acme.example/sick"),)),
        Device("card-1", taints=(Taint(key="acme.example/odd", effect="None"),)),
    )
    units = made(cards("card-0", "card-1"), inventory=sick).units[NAME]
    assert [unit.is_unfit for unit in units.values()] == [True, False]


IDS = [f"card-{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("available", "size", "must", "expected"),
    [
        (IDS[::-1], 2, (), ["card-0", "card-1"]),
        (["card-5", "card-4", "card-1"], 2, (), ["card-4", "card-5"]),
        (IDS, 2, ["card-5"], ["card-5", "card-4"]),
        (IDS, 3, (), ["card-0", "card-1", "card-2"]),
        (IDS, 3, ["card-3"], ["card-3", "card-2", "card-0"]),
        (["card-2"], 2, (), ["card-2"]),
        (["card-9", "card-1"], 2, (), ["card-1", "card-9"]),
        (["card-1"], 1, ["card-1"], ["card-1"]),
        (["card-0"], 2, ["card-5"], ["card-5", "card-0"]),
        (["card-5", "card-4", "card-1"], 1, (), ["card-1"]),
        ([], 1, (), []),
    ],
)  # fmt: skip
def test_the_nearest_and_first_are_chosen(available, size, must, expected):
    offer = made(cards(*IDS))
    resource = offer.resources[NAME]
    chosen = preferred(Cards(), resource, offer.units[NAME], available, must, size)
    assert chosen == expected


class Choosy(Cards):
    answer: object = ()

    def prefer(self, *_):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (["card-3", "card-1"], ""),
        (["card-9", "card-1"], "'card-9' is not available"),
        (["card-0", "card-1"], "'card-3' must be among them"),
        (["card-3"], "1 are chosen, 2 different ones are wanted"),
        (["card-3", "card-3"], "2 are chosen, 2 different ones are wanted"),
        (RuntimeError("no idea"), "no idea"),
        ([["card-3"], "card-1"], "unhashable"),
    ],
)
def test_a_drivers_advice_holds_if_it_can_be_used(answer, told, caplog):
    offer, driver = made(cards(*IDS)), Choosy()
    driver.answer = answer
    chosen = preferred(
        driver, offer.resources[NAME], offer.units[NAME], ["card-1", "card-0"], ["card-3"], 2
    )
    assert chosen == (["card-3", "card-0"] if told else answer)
    assert told in f"{caplog.text} {[getattr(r, 'why', '') for r in caplog.records]}"
