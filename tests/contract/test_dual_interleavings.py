"""Claims and extended resources on one node at once, in random order: nothing is in two hands, and all is released."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import dual_life
import pytest
from thoroughness import THOROUGH

SEEDS, STEPS = (range(20), 60) if THOROUGH else (range(1), 24)


@pytest.mark.testbed(kubelet=dual_life.QUICK)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(300)
async def test_no_device_is_ever_in_two_hands_and_all_are_released_in_the_end(testbed, seed):
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        life = dual_life.DualLife(testbed, random.Random(seed), Path(folder))
        async with life:
            await life.live(STEPS)
            assert life.clashes() == []
            await life.end()
        assert life.clashes() == []
        unexplained = [text for text in life.refused if not dual_life.EXPLAINED.search(text)]
        assert unexplained == []
