"""What a sample leaves out of a series, and that it leaves out nothing with PYDRA_THOROUGH=1."""

from __future__ import annotations

import pytest
import thoroughness

SERIES = ["open", "write", "open", "write", "open", "fsync", "open"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(thoroughness, "THOROUGH", False)


def test_all_turns_together_go_through_the_whole_series():
    places = range(len(SERIES))
    taken = [thoroughness.sample(places, of=3, turn=turn) for turn in range(3)]
    assert taken == [[0, 3, 6], [1, 4], [2, 5]]
    assert thoroughness.sample(places, of=3, turn=4) == taken[1]


def test_of_each_kind_there_is_one_at_least():
    def kind(place):
        return SERIES[place]

    assert thoroughness.sample(range(7), of=4, kind=kind) == [0, 1, 4, 5]


def test_a_thorough_run_takes_everything(monkeypatch):
    monkeypatch.setattr(thoroughness, "THOROUGH", True)
    assert thoroughness.sample(SERIES, of=3, turn=1) == SERIES
