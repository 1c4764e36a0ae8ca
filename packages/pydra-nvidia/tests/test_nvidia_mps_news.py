"""Who asks the keeper for news is answered when a daemon dies, and kept waiting by no stop; a reboot ends all of it."""

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


async def test_nobody_is_on_a_gpu_after_a_reboot_even_if_the_folder_outlived_it(keeper_world):
    world = keeper_world()
    boot = world.host.root / "boot-id"
    boot.write_text("the first\n")
    keeper = await world.start(BOOT_ID_FILE=str(boot))
    await keeper.attach(world.gpu(), tenant(1, sms=66, memory=GIB))
    pid = (await world.state()).pid
    await world.kill()
    killed(pid)
    boot.write_text("the second\n")
    keeper = await world.start(BOOT_ID_FILE=str(boot))
    assert await keeper.daemons() == ()
    await keeper.attach(world.gpu(), tenant(1, sms=66, memory=GIB))
    assert (await world.state()).alive
