"""Devices that claims have and devices that pods have without one: never the same, and told apart."""

from __future__ import annotations

import pytest

from pydra_core._state import records
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import DeviceUse, Intent, Prepared, Released, ref_of
from pydra_core.errors import DeviceBusyError

CARD = DeviceUse("node", "card-0")
ONE, TWO = DeviceUse("node", "card-0", "one"), DeviceUse("node", "card-0", "two")
NAME = "acme.example/card"


def of_claim(uid, *uses):
    return Prepared(uid=uid, namespace="default", name=f"claim-{uid}", uses=uses, answers=())


def of_pod(uid, *uses, given=0):
    return Prepared(uid, "", uid, uses, answers=(), resource=NAME, given=given)


def test_a_claim_is_told_which_resource_a_pod_has_the_device_as():
    ledger = Ledger()
    ledger.apply(of_pod("id-0", CARD))
    with pytest.raises(DeviceBusyError, match=f"a pod that has it as 'id-0' of resource {NAME}"):
        ledger.check_free("b", [CARD])


def test_shares_exclude_each_other_only_across_claims_and_pods():
    ledger = Ledger()
    ledger.apply(of_pod("id-0", ONE))
    ledger.check_free("id-1", [TWO], is_legacy=True)
    with pytest.raises(DeviceBusyError):
        ledger.check_free("b", [TWO])
    ledger.apply(Released("id-0"))
    ledger.apply(of_claim("a", ONE))
    ledger.check_free("b", [TWO])
    with pytest.raises(DeviceBusyError, match="default/claim-a"):
        ledger.check_free("id-1", [TWO], is_legacy=True)


def test_the_whole_device_and_its_shares_exclude_each_other():
    ledger = Ledger()
    ledger.apply(of_pod("id-0", ONE))
    with pytest.raises(DeviceBusyError):
        ledger.check_free("id-1", [CARD], is_legacy=True)
    ledger.apply(Released("id-0"))
    ledger.apply(of_pod("id-1", CARD))
    with pytest.raises(DeviceBusyError):
        ledger.check_free("id-0", [ONE], is_legacy=True)


def test_a_claim_that_turns_out_to_be_a_pods_counts_as_that_from_then_on():
    ledger = Ledger()
    ledger.apply(of_claim("id-0", ONE))
    ledger.apply(of_pod("id-0", ONE))
    ledger.check_free("id-1", [TWO], is_legacy=True)
    assert [record.uid for record in ledger.legacy()] == ["id-0"]
    ledger.apply(Released("id-0"))
    ledger.check_free("b", [CARD])


def test_what_pods_have_survives_the_journals_format_and_what_claims_have_says_nothing_new():
    pod, claim = of_pod("id-0", CARD, given=7), of_claim("a", CARD)
    begun = Intent("id-1", "", "id-1", (CARD,), resource=NAME)
    for record in (pod, claim, begun):
        assert records.decode(records.encode(record)) == record
    assert b"resource" not in records.encode(claim)
    assert b"given" not in records.encode(claim)
    assert str(ref_of(pod)) == "acme.example/card/id-0"
    assert str(ref_of(claim)) == "default/claim-a"


def test_who_keeps_up_hears_of_each_change_and_of_too_many_that_it_missed_some():
    ledger = Ledger()
    ledger.apply(of_pod("id-0", ONE))
    seen = ledger.version
    assert ledger.since(seen) == ()
    ledger.apply(Released("id-0"))
    ledger.apply(of_claim("a", CARD))
    told = [(change.device, change.share, change.is_legacy) for change in ledger.since(seen)]
    assert told == [(("node", "card-0"), "one", True), (("node", "card-0"), "", False)]
    for number in range(2000):
        ledger.apply(of_pod(f"id-{number}", DeviceUse("node", f"card-{number}")))
    assert ledger.since(seen) is None
    assert ledger.since(ledger.version) == ()
