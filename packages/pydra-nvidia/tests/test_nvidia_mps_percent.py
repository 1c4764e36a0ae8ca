"""MPS by percentages: the real keeper and client, on machines whose driver has no partitions."""

from __future__ import annotations

import pytest
from mps_keeper_world import GIB, MIB, fake_host, keeper_world, tenant

__all__ = ["fake_host", "keeper_world"]


@pytest.fixture
async def world(keeper_world):
    """A machine that knows percentages alone, with its keeper."""
    made = keeper_world("580.95.05")
    await made.start()
    return made


async def test_two_tenants_of_a_gpu_have_limits_of_their_own_and_a_daemon_in_common(world):
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=66, memory=10 * GIB))
    two = await world.keeper.attach(world.gpu(), tenant(2, sms=33, memory=1536 * MIB))
    assert (one.enforcement, one.sms, one.percent, one.memory) == ("mps-percent", 66, 50.0, 10 * GIB)  # fmt: skip
    assert (two.sms, two.percent, two.memory) == (33, 25.0, 1536 * MIB)
    first = await world.sees(one.env)
    second = await world.sees(two.env)
    assert (first["error"], first["mps"], first["sms"], first["memory"]) == (0, True, 66, 10 * GIB)
    assert (second["sms"], second["memory"]) == (32, 1536 * MIB)
    state = await world.state()
    assert (state.alive, state.why, state.enforcement) == (True, "", "mps-percent")
    assert [t.name for t in state.tenants] == ["ns/claim-1", "ns/claim-2"]
    assert world.host.mps.daemons == (state.pid,)


async def test_the_last_to_leave_ends_the_daemon_and_is_told_what_the_first_noted(world):
    await world.keeper.attach(world.gpu(), tenant(1, sms=66, compute_mode="default"))
    assert world.tell("get_default_device_pinned_mem_limit 0") == ""  # nobody asked for less
    await world.keeper.attach(world.gpu(), tenant(2, sms=33, compute_mode="exclusive_process"))
    first = await world.keeper.detach(world.uuid, "uid-1")
    assert (first.empty, first.compute_mode) == (False, "")
    for _ in range(2):  # whoever was killed before it set the mode back asks again
        last = await world.keeper.detach(world.uuid, "uid-2")
        assert (last.empty, last.compute_mode) == (True, "default")
    assert (await world.keeper.detach(world.uuid, "uid-1")).compute_mode == ""
    assert world.host.mps.daemons == ()
    assert await world.keeper.daemons() == ()


async def test_every_even_number_of_multiprocessors_is_had_to_the_last(world):
    """A GPU gives them in pairs, as many as the bound has room for."""
    for sms in (2, 44, 130):
        one = await world.keeper.attach(world.gpu(), tenant(1, sms=sms))
        assert one.sms == sms
        assert (await world.sees(one.env))["sms"] == sms
