"""MPS by static partitions: multiprocessors that are a tenant's alone, on machines whose driver has them."""

from __future__ import annotations

import pytest
from mps_keeper_world import GIB, fake_host, keeper_world, tenant

from pydra_core.errors import ClaimError, DeviceBusyError, VendorTimeoutError

__all__ = ["fake_host", "keeper_world"]


@pytest.fixture
async def world(keeper_world):
    """A machine with partitions, with its keeper."""
    made = keeper_world("595.71.05")
    await made.start()
    return made


async def test_what_a_gpu_can_give_is_found_by_adding_a_partition(world):
    found = await world.keeper.capabilities(world.gpu())
    assert (found.enforcement, found.unit, found.most) == ("mps-static", 8, 128)
    assert world.host.mps.daemons == ()


async def test_tenants_have_partitions_of_their_own_as_the_tool_tells_their_size(world):
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=64, memory=10 * GIB))
    two = await world.keeper.attach(world.gpu(), tenant(2, sms=64))
    there = world.partitions()
    names = [a.env["CUDA_MPS_SM_PARTITION"].removeprefix(f"{world.uuid}/") for a in (one, two)]
    assert [one.sms, two.sms] == [there[name] for name in names]
    assert one.sms == 64
    seen = await world.sees(one.env)
    assert (seen["error"], seen["sms"], seen["memory"]) == (0, 64, 10 * GIB)
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" not in one.env
    with pytest.raises(ClaimError, match="0 of 16 are left"):
        await world.keeper.attach(world.gpu(), tenant(3, sms=8))


async def test_a_partition_in_use_is_kept_until_its_programs_have_ended(world):
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=64))
    await world.keeper.attach(world.gpu(), tenant(2, sms=32))
    program, _ = await world.program(one.env)
    with pytest.raises(DeviceBusyError, match="programs of it still run"):
        await world.keeper.detach(world.uuid, "uid-1")
    assert [m["tenant"]["claim"] for m in world.roster()["members"]] == ["uid-1", "uid-2"]
    program.stdin.close()
    await program.wait()
    assert not (await world.keeper.detach(world.uuid, "uid-1")).empty
    assert len(world.partitions()) == 1


async def test_what_cannot_be_had_and_a_tool_that_hangs_say_nothing_of_what_partitions_are_good_for(
    keeper_world,
):
    world = keeper_world("595.71.05")
    await world.start("--patience", "3")
    with pytest.raises(ClaimError, match=r"17 chunks .* 16 of 16 are left"):
        await world.keeper.attach(world.gpu(), tenant(1, sms=136))
    world.host.mps.hang("sm_partition add")
    with pytest.raises(VendorTimeoutError, match="does not end within 3 s"):
        await world.keeper.attach(world.gpu(), tenant(1, sms=64))
    world.host.mps.mend()
    assert (await world.keeper.capabilities(world.gpu())).enforcement == "mps-static"
    world.host.mps.refuse("sm_partition add", "an internal error 15")
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=64))
    assert (one.enforcement, one.percent) == ("mps-percent", 48.49)


async def test_who_leaves_is_let_go_also_when_the_tool_fails_and_what_was_his_is_free_for_the_next(
    world,
):
    for number, sms in ((1, 64), (2, 32), (3, 32)):
        await world.keeper.attach(world.gpu(), tenant(number, sms=sms))
    world.host.mps.refuse("lspart", "an internal error 15")
    world.host.mps.refuse("sm_partition rm", "an internal error 15")
    assert not (await world.keeper.detach(world.uuid, "uid-1")).empty
    world.host.mps.mend()
    broken = world.host.mps.tool
    broken.rename(broken.with_name("away"))
    assert not (await world.keeper.detach(world.uuid, "uid-2")).empty
    broken.with_name("away").rename(broken)
    assert [m["tenant"]["claim"] for m in world.roster()["members"]] == ["uid-3"]
    assert (await world.keeper.attach(world.gpu(), tenant(4, sms=96))).sms == 96
    assert len(world.partitions()) == 2


@pytest.mark.parametrize(("asked", "why"), [({"sms": 20}, "a multiple of 8"), ({"sms": 4}, "a multiple of 8"), ({"percent": 50.0}, "asks for none gets none")])  # fmt: skip
async def test_what_partitions_cannot_give_is_refused_and_changes_nothing(world, asked, why):
    await world.keeper.attach(world.gpu(), tenant(1, sms=64))
    before = world.roster()
    with pytest.raises(ClaimError, match=why):
        await world.keeper.attach(world.gpu(), tenant(2, **asked))
    assert world.roster() == before
    assert len(world.partitions()) == 1
