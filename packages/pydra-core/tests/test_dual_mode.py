"""Which APIs are served, given what is known: the decision alone."""

from dataclasses import replace

import pytest

from pydra_core import Device, Driver, Inventory
from pydra_core._legacy.mode import CONFIRM_WITHIN, Facts, Mode, Served, Wish, decide, wish_of
from pydra_core.errors import ConfigError
from pydra_core.settings import load

AUTO = Wish(dra=None, legacy=False)
KNOWN = Facts(Served.YES, registered=True, unconfirmed=0.0)
REFUSED = Facts(
    Served.YES,
    registered=False,
    unconfirmed=CONFIRM_WITHIN,
    refusal="plugin validation failed",
)
ASKED = replace(REFUSED, unconfirmed=CONFIRM_WITHIN - 1)
AWAY = replace(REFUSED, api=Served.UNKNOWN)
OLD = replace(KNOWN, api=Served.NO)


class Claims(Driver):
    name = "card.acme.example"

    async def discover(self):
        return Inventory(Device("card-0"))

    async def prepare(self, claim):
        return [a.prepared() for a in claim.allocations]


class Both(Claims):
    def resources(self, _inventory):
        return ()


def wish(driver, **environ):
    return wish_of(load(None, environ, {}), driver)


def served(mode):
    return mode.dra, mode.legacy, mode.decided


def test_by_default_a_driver_with_resources_finds_out_and_one_without_serves_claims():
    assert wish(Both) == AUTO
    assert wish(Claims) == Wish(dra=True, legacy=False)
    assert wish(Claims, ENABLE_DRA="true") == Wish(dra=True, legacy=False)


@pytest.mark.parametrize(
    ("driver", "environ", "key"),
    [
        (Both, {"ENABLE_DRA": "false"}, "enable_dra"),
        (Claims, {"ENABLE_DRA": "false"}, "enable_dra"),
        (Claims, {"ENABLE_DRA": "false", "ENABLE_DEVICE_PLUGIN": "true"}, "enable_device_plugin"),
        (Claims, {"ENABLE_DEVICE_PLUGIN": "true"}, "enable_device_plugin"),
    ],
)
def test_settings_that_serve_nothing_or_what_the_driver_has_not_are_refused(driver, environ, key):
    with pytest.raises(ConfigError, match=f"setting {key}: .* ENABLE_") as raised:
        wish(driver, **environ)
    assert raised.value.fields["key"] == key


@pytest.mark.parametrize("facts", [KNOWN, REFUSED, AWAY, OLD])
def test_what_the_operator_decided_is_asked_of_nobody(facts):
    both = decide(Wish(dra=True, legacy=True), facts, None)
    alone = decide(Wish(dra=True, legacy=False), facts, None)
    none = decide(Wish(dra=False, legacy=True), facts, None)
    assert [served(m) for m in (both, alone, none)] == [
        (True, True, True),
        (True, False, True),
        (False, True, True),
    ]


def test_dra_is_found_where_the_server_serves_it_and_the_kubelet_confirms():
    assert served(decide(AUTO, KNOWN, None)) == (True, False, True)
    assert served(decide(replace(AUTO, legacy=True), KNOWN, None)) == (True, True, True)


def test_a_kubelet_that_does_not_confirm_in_time_has_no_dra_and_its_reason_is_told():
    assert served(decide(AUTO, ASKED, None)) == (True, False, False)
    mode = decide(AUTO, REFUSED, None)
    assert served(mode) == (False, True, True)
    assert mode.why.endswith("within 30 seconds: plugin validation failed")


def test_a_kubelet_that_says_it_has_no_handler_for_dra_is_believed_at_once():
    said = "RegisterPlugin error -- no handler registered for plugin type: DRAPlugin at socket a"
    mode = decide(AUTO, replace(ASKED, unconfirmed=0.1, refusal=said), None)
    assert served(mode) == (False, True, True)
    assert mode.why == f"the kubelet did not confirm the registration: {said}"


def test_a_server_without_the_api_is_enough_to_know():
    assert served(decide(AUTO, OLD, None)) == (False, True, True)


@pytest.mark.parametrize("registered", [True, False])
def test_a_server_that_cannot_be_reached_proves_nothing(registered):
    away = replace(AWAY, registered=registered)
    assert served(decide(AUTO, away, None)) == (True, False, False)
    for before in (decide(AUTO, KNOWN, None), decide(AUTO, REFUSED, None)):
        mode = decide(AUTO, away, before)
        assert (mode.dra, mode.legacy) == (before.dra, before.legacy)
        assert not mode.decided


def test_while_another_kubelet_is_asked_what_was_served_goes_on():
    before = decide(AUTO, REFUSED, None)
    asking = decide(AUTO, ASKED, before)
    assert served(asking) == (True, True, False)
    assert served(decide(AUTO, KNOWN, asking)) == (True, False, True)
    assert decide(AUTO, REFUSED, asking) == before


def test_a_kubelet_that_lost_dra_is_waited_for_before_pods_are_served_without():
    before = decide(AUTO, KNOWN, None)
    assert decide(AUTO, ASKED, before) == Mode(
        dra=True,
        legacy=False,
        decided=False,
        why="the kubelet has not confirmed the registration yet",
    )
    assert served(decide(AUTO, REFUSED, before)) == (False, True, True)
