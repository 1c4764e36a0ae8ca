"""What a driver must not collect over the claims of a long life; `tests/bench/claims_life.py` lives ten times longer."""

from __future__ import annotations

import pytest
from claim_life import DRIVER, footprint, live, memory

WARM_UP, CLAIMS = 200, 1000
MEGABYTES = 5_000_000


@pytest.mark.timeout(120)
async def test_a_thousand_claims_leave_nothing_behind(world):
    driver = await world.start(DRIVER, LOG_LEVEL="warning")
    await driver.registered()
    await live(world, driver, WARM_UP)
    before, used = await footprint(driver), memory(driver)
    await live(world, driver, CLAIMS)
    assert await footprint(driver) == before
    assert memory(driver) - used < MEGABYTES
    assert world.spec_files() == {}
