from __future__ import annotations

import pytest

from pydra_core import DeviceHealth, Health, HealthPolicy
from pydra_core._node.health.states import due, observe, settle, unknown

POLICY = HealthPolicy(fails_after=2, recovers_after=10)
WORDS = {"h": Health.HEALTHY, "u": Health.UNHEALTHY, "?": Health.UNKNOWN}


def seen(word, message=""):
    return DeviceHealth(device="card-0", pool="node-1", health=WORDS[word], message=message)


def after(*observations):
    """What holds after (time, word) observations; a lone number only lets time pass."""
    state = unknown("node-1", "card-0")
    for each in observations:
        if isinstance(each, tuple):
            state = observe(state, seen(each[1]), each[0], POLICY)
        else:
            state = settle(state, each, POLICY)
    return state


@pytest.mark.parametrize(
    ("observations", "holds"),
    [
        ((), "?"),
        (((0, "h"),), "h"),
        (((0, "u"),), "?"),
        (((0, "u"), 1.9), "?"),
        (((0, "u"), 2), "u"),
        (((0, "h"), (1, "u"), (2, "h"), (2.5, "u"), 4), "h"),
        (((0, "h"), (1, "u"), (2, "u"), (3, "u")), "u"),
        (((0, "u"), 2, (3, "h"), 12.9), "u"),
        (((0, "u"), 2, (3, "h"), 13), "h"),
        (((0, "u"), 2, (3, "h"), (12, "u"), (12.5, "h"), 22), "u"),
        (((0, "u"), 2, (3, "?"), 100), "u"),
        (((0, "u"), 2, (3, "h"), (4, "?"), (5, "h"), 13), "u"),
        (((0, "h"), (1, "?")), "?"),
        (((0, "h"), (1, "u"), (1.5, "?"), 9), "?"),
    ],
)
def test_an_observation_holds_when_it_has_lasted(observations, holds):
    assert after(*observations).holds.health is WORDS[holds]


def test_a_new_message_of_the_same_health_holds_at_once():
    state = after((0, "u"), 2)
    assert observe(state, seen("u", "hotter"), 3, POLICY).holds.message == "hotter"


def test_it_is_known_when_to_look_again():
    assert due(after(), POLICY) is None
    assert due(after((5, "u")), POLICY) == 7
    assert due(after((0, "u"), 2, (3, "h")), POLICY) == 13
    assert due(after((0, "u"), 2, (3, "?")), POLICY) is None
