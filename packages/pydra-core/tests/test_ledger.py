from __future__ import annotations

import pytest

from pydra_core._state.ledger import Ledger
from pydra_core._state.records import DeviceUse, Intent, Prepared, Released
from pydra_core.errors import DeviceBusyError

CARD = DeviceUse("node", "card-0")


def prepared(uid, *uses):
    return Prepared(uid=uid, namespace="default", name=f"claim-{uid}", uses=uses, answers=())


def test_a_device_in_one_claim_is_refused_to_another_and_named():
    ledger = Ledger()
    ledger.apply(prepared("a", CARD))
    with pytest.raises(DeviceBusyError, match=r"'card-0'.*default/claim-a"):
        ledger.check_free("b", [CARD])


def test_a_claim_in_progress_holds_its_devices_too():
    ledger = Ledger()
    ledger.apply(Intent("a", "default", "claim-a", (CARD,)))
    with pytest.raises(DeviceBusyError):
        ledger.check_free("b", [CARD])


def test_the_holder_itself_may_ask_again():
    ledger = Ledger()
    ledger.apply(prepared("a", CARD))
    ledger.check_free("a", [CARD])


def test_a_released_device_is_free():
    ledger = Ledger()
    ledger.apply(prepared("a", CARD))
    ledger.apply(Released("a"))
    ledger.check_free("b", [CARD])
    assert ledger.all_prepared() == ()


def test_two_shares_of_one_device_do_not_meet():
    ledger = Ledger()
    ledger.apply(prepared("a", DeviceUse("node", "card-0", "share-1")))
    ledger.check_free("b", [DeviceUse("node", "card-0", "share-2")])


def test_one_share_is_one_claims():
    ledger = Ledger()
    share = DeviceUse("node", "card-0", "share-1")
    ledger.apply(prepared("a", share))
    with pytest.raises(DeviceBusyError):
        ledger.check_free("b", [share])


@pytest.mark.parametrize("held", ["", "share-1"])
def test_a_whole_device_and_a_share_of_it_exclude_each_other(held):
    ledger = Ledger()
    ledger.apply(prepared("a", DeviceUse("node", "card-0", held)))
    wanted = DeviceUse("node", "card-0", "" if held else "share-1")
    with pytest.raises(DeviceBusyError):
        ledger.check_free("b", [wanted])


def test_admin_access_neither_blocks_nor_is_blocked():
    ledger = Ledger()
    admin = DeviceUse("node", "card-0", admin=True)
    ledger.apply(prepared("watcher", admin))
    ledger.check_free("a", [CARD])
    ledger.apply(prepared("a", CARD))
    ledger.check_free("another-watcher", [admin])


def test_the_shortest_log_leads_to_the_same_state():
    ledger = Ledger()
    for uid in ("a", "b", "c"):
        ledger.apply(prepared(uid, DeviceUse("node", f"card-{uid}")))
    ledger.apply(Released("b"))
    ledger.apply(Intent("d", "default", "d", (CARD,)))
    again = Ledger()
    for record in ledger.records():
        again.apply(record)
    assert again.all_prepared() == ledger.all_prepared()
    assert again.all_intents() == ledger.all_intents()
    with pytest.raises(DeviceBusyError):
        again.check_free("x", [CARD])
    again.check_free("x", [DeviceUse("node", "card-b")])


class Looked:
    """Uses of a device, and the ledger's version while the journal's thread takes them in."""

    def __init__(self, ledger, *uses):
        self.ledger, self.uses = ledger, uses

    def __iter__(self):
        self.seen = self.ledger.version
        return iter(self.uses)


@pytest.mark.parametrize("released", [False, True], ids=["given", "released"])
def test_whoever_looks_while_a_record_is_taken_in_sees_its_changes_the_next_time(released):
    ledger = Ledger()
    uses = Looked(ledger, DeviceUse("node-1", "card-0"))
    ledger.apply(Prepared("a", "default", "a", uses, ()))
    if released:
        ledger.apply(Released("a"))
    (change,) = ledger.since(uses.seen)
    assert change.device == ("node-1", "card-0")


def test_changes_of_which_a_part_is_forgotten_are_too_long_ago_to_tell():
    ledger = Ledger()
    uses = tuple(DeviceUse("node-1", f"card-{n}") for n in range(2000))
    ledger.apply(Prepared("a", "default", "a", uses, ()))
    assert ledger.since(0) is None
    assert ledger.since(ledger.version) == ()


@pytest.mark.parametrize("is_legacy", [False, True])
def test_shares_of_claims_and_of_pods_exclude_each_other_and_those_of_one_side_do_not(is_legacy):
    ledger = Ledger()
    resource = "" if is_legacy else "acme.example/seat"
    theirs = Prepared("a", "", "a", (DeviceUse("node-1", "card-0", "a"),), (), resource=resource)
    ledger.apply(theirs)
    wanted = (DeviceUse("node-1", "card-0", "b"),)
    with pytest.raises(DeviceBusyError):
        ledger.check_free("b", wanted, is_legacy=is_legacy)
    ledger.check_free("b", wanted, is_legacy=not is_legacy)
