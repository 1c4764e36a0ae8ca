"""Shared counters before Kubernetes 1.35: in one slice with the devices that consume them."""

from __future__ import annotations

import pytest

from pydra_core import Consumption, CounterSet, Device
from pydra_core._api.counters import beside, layout_of
from pydra_core._api.render import render, split
from pydra_core._values import Pool
from pydra_core.errors import ApiError


def device(name, *sets):
    return Device(name, consumes=tuple(Consumption(s, {"m": "1"}) for s in sets))


def laid_out(devices, sets, most=128):
    counter_sets = tuple(CounterSet(name, {"m": "8"}) for name in sets)
    contents = beside(render(Pool("node-1", tuple(devices), counter_sets)), most)
    return [
        (
            [s["name"] for s in content.get("sharedCounters", [])],
            [d["name"] for d in content.get("devices", [])],
        )
        for content in contents
    ]


def test_each_set_stands_with_its_devices_at_the_place_of_the_first_of_them():
    found = laid_out([device("a0", "a"), device("b0", "b"), device("a1", "a"), device("x")], "ab")
    assert found == [(["a"], ["a0", "a1"]), (["b"], ["b0"]), ([], ["x"])]


def test_sets_that_a_device_connects_stand_together():
    devices = [device("a0", "a"), device("c0", "c"), device("ab", "a", "b"), device("bc", "c", "b")]
    assert laid_out(devices, "abcd") == [(["a", "b", "c"], ["a0", "c0", "ab", "bc"]), (["d"], [])]


def test_devices_without_counters_keep_their_place_and_fill_slices_of_their_own():
    devices = [*(device(f"x{n}") for n in range(3)), device("a0", "a"), device("x3")]
    assert laid_out(devices, "a", most=2) == [
        ([], ["x0", "x1"]),
        ([], ["x2"]),
        (["a"], ["a0"]),
        ([], ["x3"]),
    ]


def test_no_device_at_all_is_one_empty_slice():
    assert laid_out([], "") == [([], [])]


class Server:
    """What the publisher reads of an API server: its version."""

    def __init__(self, answer):
        self._answer = answer

    async def get(self, path):
        assert path == "/version"
        if isinstance(self._answer, ApiError):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "layout"),
    [
        (b'{"major":"1","minor":"34"}', beside),
        (b'{"major":"1","minor":"34+"}', beside),
        (b'{"major":"1","minor":"35"}', split),
        (b'{"major":"2","minor":"0"}', split),
        (b'{"minor":"34"}', split),
        (b"ok", split),
        (ApiError("refused", status=403), split),
    ],
)
async def test_the_servers_version_decides_and_who_tells_none_is_new(answer, layout):
    assert await layout_of(Server(answer)) is layout


async def test_a_server_that_gives_no_answer_is_asked_again():
    with pytest.raises(ApiError, match="gone"):
        await layout_of(Server(ApiError("gone")))
