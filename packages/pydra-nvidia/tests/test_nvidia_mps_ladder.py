"""Which rung a GPU is on: found by doing, remembered until tool or driver change, and one at a time."""

from __future__ import annotations

import json

import pytest
from mps_keeper_world import GIB, fake_host, keeper_world, tenant

from pydra_core.errors import ClaimError, VendorTimeoutError

__all__ = ["fake_host", "keeper_world"]


async def test_what_was_found_holds_until_the_tool_or_the_driver_is_another_one(keeper_world):
    world = keeper_world("595.71.05")
    await world.start()
    found = await world.keeper.capabilities(world.gpu())
    calls = world.host.mps.calls
    assert await world.keeper.capabilities(world.gpu()) == found
    await world.kill()
    await world.start()
    assert await world.keeper.capabilities(world.gpu()) == found
    assert world.host.mps.calls == calls
    await world.keeper.attach(world.gpu(), tenant(1, sms=64))
    (world.host.root / "sys/module/nvidia/version").write_text("596.1\n")
    assert await world.keeper.capabilities(world.gpu()) == found
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty
    world.host.mps.can(static=False)
    assert (await world.keeper.capabilities(world.gpu())).enforcement == "mps-percent"


async def test_a_tool_that_only_says_it_has_partitions_is_found_out(keeper_world):
    world = keeper_world("595.71.05")
    world.host.mps.refuse("sm_partition add", "Static partitioning mode is not enabled")
    await world.start()
    found = await world.keeper.capabilities(world.gpu())
    assert (found.enforcement, found.unit, found.most) == ("mps-percent", 2, 132)
    assert "there is none: Static partitioning mode is not enabled" in found.why
    assert world.host.mps.daemons == ()
    world.host.mps.mend()
    assert await world.keeper.capabilities(world.gpu()) == found
    kept = world.own / "capabilities.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"until": 1}))
    assert (await world.keeper.capabilities(world.gpu())).enforcement == "mps-static"


async def test_a_tool_that_hangs_while_it_is_tried_tells_nothing_that_is_kept(keeper_world):
    world = keeper_world("595.71.05")
    world.host.mps.hang("lspart")
    await world.start("--patience", "3")
    with pytest.raises(VendorTimeoutError, match="'lspart', does not end within 3 s"):
        await world.keeper.capabilities(world.gpu())
    assert world.host.mps.daemons == ()
    world.host.mps.mend()
    assert (await world.keeper.capabilities(world.gpu())).enforcement == "mps-static"


async def test_a_gpu_is_on_one_rung_at_a_time_and_the_first_tenant_says_which(keeper_world):
    world = keeper_world("595.71.05")
    await world.start()
    one = await world.keeper.attach(world.gpu(), tenant(1, memory=10 * GIB))
    assert (one.enforcement, one.sms, one.percent) == ("mps-percent", None, None)
    two = await world.keeper.attach(world.gpu(), tenant(2, sms=66))
    assert (two.enforcement, two.percent) == ("mps-percent", 50)
    for claim in ("uid-1", "uid-2"):
        last = await world.keeper.detach(world.uuid, claim)
    assert last.empty
    two = await world.keeper.attach(world.gpu(), tenant(2, sms=64))
    assert two.enforcement == "mps-static"
    with pytest.raises(ClaimError, match="asks for none gets none"):
        await world.keeper.attach(world.gpu(), tenant(1, memory=10 * GIB))


async def test_other_limits_for_the_same_tenant_take_the_place_of_the_first(keeper_world):
    world = keeper_world("595.71.05")
    await world.start()
    await world.keeper.attach(world.gpu(), tenant(1, sms=64, compute_mode="default"))
    again = await world.keeper.attach(world.gpu(), tenant(1, sms=32, compute_mode="exclusive"))
    assert again.sms == 32
    assert [*world.partitions().values()] == [32]
    assert (await world.keeper.detach(world.uuid, "uid-1")).compute_mode == "default"


async def test_a_partition_somebody_else_removed_is_made_anew_for_its_tenant(keeper_world):
    world = keeper_world("595.71.05")
    await world.start()
    await world.keeper.attach(world.gpu(), tenant(1, sms=64))
    before = await world.keeper.attach(world.gpu(), tenant(2, sms=32))
    world.tell(f"sm_partition rm {world.uuid} {before.env['CUDA_MPS_SM_PARTITION'].partition('/')[2]}")  # fmt: skip
    after = await world.keeper.attach(world.gpu(), tenant(2, sms=32))
    assert (await world.sees(after.env))["sms"] == 32
    assert len(world.partitions()) == 2


async def test_ceilings_are_those_of_the_largest_share_for_whoever_drops_its_environment(
    keeper_world,
):
    world = keeper_world("580.95.05")
    await world.start()
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=33, memory=10 * GIB))
    bare = {"CUDA_MPS_PIPE_DIRECTORY": one.env["CUDA_MPS_PIPE_DIRECTORY"]}
    assert (await world.sees(bare))["memory"] == 10 * GIB
    running, seen = await world.program(one.env)
    assert seen["sms"] == 32
    await world.keeper.attach(world.gpu(), tenant(2, sms=66, memory=20 * GIB))
    seen = await world.sees(bare)
    assert (seen["sms"], seen["memory"]) == (66, 20 * GIB)
    assert not (await world.keeper.detach(world.uuid, "uid-2")).empty
    seen = await world.sees(bare)
    assert (seen["sms"], seen["memory"]) == (32, 10 * GIB)
    running.stdin.close()


async def test_a_program_s_fault_is_told_as_what_keeps_others_out(keeper_world):
    world = keeper_world("580.95.05")
    await world.start()
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=33))
    await world.program(one.env)
    faulty, _ = await world.program(one.env)
    faulty.stdin.write(b"fault\n")
    await faulty.stdin.drain()
    assert json.loads(await faulty.stdout.readline())["error"]
    state = await world.state()
    assert state.alive
    assert "a program's fault has ended what ran" in state.why


NOT_THERE = {
    tenant(1, sms=133): "ask for 1 to 132",
    tenant(1, sms=0): "ask for 1 to 132",
    tenant(1, percent=101.0): "at most 100",
    tenant(1, memory=1000): "1Mi at least",
    tenant(1, memory=1 << 50): "at most the GPU's",
}


async def test_limits_no_gpu_has_are_refused_before_a_daemon_is_started(keeper_world):
    world = keeper_world("580.95.05")
    await world.start()
    for asked, why in NOT_THERE.items():
        with pytest.raises(ClaimError, match=why):
            await world.keeper.attach(world.gpu(), asked)
    assert world.host.mps.daemons == ()
    assert not (world.own / "roster.json").exists()
