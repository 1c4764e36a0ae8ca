"""Random claims, crashes and restarts: at every rest the stub has what the journal says. `tests/bench` does many."""

from __future__ import annotations

from mig_life import MigLife
from nvidia_world import nvidia

__all__ = ["nvidia"]


async def test_at_every_rest_instances_equal_the_journal(nvidia):
    nvidia.build("h100x8")
    life = MigLife(nvidia, seed=10)
    await life.begin()
    life.check()
    for _ in range(60):
        await life.cycle()
    assert life.crashes + life.kills
    await life.end()
