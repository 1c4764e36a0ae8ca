"""What a share of an extended resource takes of its device: as a claim of which nothing special is asked."""

from __future__ import annotations

from pydra_core import Capacity, Device, Inventory, RequestPolicy
from pydra_core._legacy.units import Offer, Offering
from pydra_core.resources import Resource, ResourceDevice


def uses(**facts):
    one = RequestPolicy(default="1", valid_values=("1", "2"))
    none = RequestPolicy(default="0", valid_values=("0",))
    capacity = {"shares": Capacity("2", one), "memory": Capacity("80Gi", none), "cores": "9"}
    card = Device("card-0", capacity=capacity, shareable=True)
    given = ResourceDevice(id="a", devices=("card-0",), **facts)
    offering = Offering("card.acme.example", "node-1")
    offer = offering.make([Resource("acme.example/card", (given,))], Inventory(card), Offer())
    assert offer.faults == ()
    unit = offer.units["acme.example/card"]["a"]
    (allocation,), (use,) = unit.claim.allocations, unit.uses
    assert allocation.consumed == use.consumed
    return use.consumed


def test_a_share_takes_the_default_of_each_capacity_that_can_be_asked_for():
    assert uses(share="0") == {"shares": "1", "memory": "0"}


def test_an_id_that_has_its_devices_for_itself_takes_no_amounts():
    assert uses() == {}
