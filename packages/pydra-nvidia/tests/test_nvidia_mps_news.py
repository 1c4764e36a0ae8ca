"""Who asks the keeper for news is answered when a daemon dies, and kept waiting by no stop."""

from __future__ import annotations

import asyncio

from mps_keeper_world import GIB, fake_host, keeper_world, killed, tenant

__all__ = ["fake_host", "keeper_world"]


async def test_a_death_is_told_to_who_waits_and_a_stop_lets_them_go(keeper_world):
    world = keeper_world()
    keeper = await world.start()
    first = await keeper.news(0)
    await keeper.attach(world.gpu(), tenant(1, sms=66, memory=GIB))
    waiting = asyncio.ensure_future(keeper.news(first))
    killed((await world.state()).pid)
    second = await waiting
    assert second != first
    waiting = asyncio.ensure_future(keeper.news(second))
    await keeper.daemons()  # whoever asked before is served by now
    assert await world.stop() == 0
    assert await waiting == second
