"""MPS by namespaces: limits that no tenant can lift, on machines whose driver speaks the third protocol."""

from __future__ import annotations

import os

import pytest
from mps_keeper_world import GIB, MIB, fake_host, keeper_world, killed, tenant

from pydra_core.errors import DeviceBusyError, VendorError

__all__ = ["fake_host", "keeper_world"]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a server for all users is root's")


@pytest.fixture
async def world(keeper_world):
    """A machine with namespaces, with its keeper."""
    made = keeper_world("615.20.01")
    await made.start()
    return made


def spaces(world):
    """The namespaces there are, by the tool's own word."""
    rows = world.run("namespace", "list", "--format=csv,noheader").splitlines()
    return sorted(row.split(",")[0] for row in rows)


async def test_tenants_have_namespaces_with_limits_that_they_cannot_lift(world):
    found = await world.keeper.capabilities(world.gpu())
    assert (found.enforcement, found.unit, found.most) == ("mps-v3-namespace", 2, 132)
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=44, memory=1536 * MIB))
    two = await world.keeper.attach(world.gpu(), tenant(2, memory=20 * GIB))
    assert (one.enforcement, one.sms, one.percent, one.memory) == ("mps-v3-namespace", 44, 33.34, 1536 * MIB)  # fmt: skip
    assert (two.sms, two.percent, two.memory) == (None, None, 20 * GIB)
    assert one.mounts[0] != two.mounts[0]
    alone = {"CUDA_MPS_PIPE_DIRECTORY": one.env["CUDA_MPS_PIPE_DIRECTORY"]}
    lifted = await world.sees(alone | {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "100"})
    assert (lifted["error"], lifted["memory"]) == (0, 1536 * MIB)
    assert lifted["sms"] == 44
    assert (await world.sees(one.env))["sms"] == 44
    assert (await world.sees(two.env))["sms"] == 132


async def test_a_namespace_ends_with_its_programs_and_the_daemon_with_its_tenants(world):
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=66, compute_mode="default"))
    await world.keeper.attach(world.gpu(), tenant(2, sms=33))
    program, _ = await world.program(one.env)
    assert (await world.state()).clients == 1
    with pytest.raises(DeviceBusyError, match="programs of it still run"):
        await world.keeper.detach(world.uuid, "uid-1")
    program.stdin.close()
    await program.wait()
    assert not (await world.keeper.detach(world.uuid, "uid-1")).empty
    assert len(spaces(world)) == 2
    assert (await world.keeper.detach(world.uuid, "uid-2")).compute_mode == "default"
    assert world.host.mps.daemons == ()


async def test_what_the_keeper_before_left_half_made_is_undone(world):
    one = tenant(1, sms=66)
    before = await world.keeper.attach(world.gpu(), one)
    world.run("namespace", "create", "nobodys", "--server=uid_0")
    await world.kill()
    await world.start()
    assert "nobodys" not in spaces(world)
    assert await world.keeper.attach(world.gpu(), one) == before
    killed((await world.state()).pid)
    assert not (await world.state()).alive


async def test_limits_that_are_not_read_back_are_not_believed(world):
    await world.keeper.attach(world.gpu(), tenant(1, sms=33))
    world.host.mps.clamp(memory=GIB)
    with pytest.raises(
        VendorError, match=r"pinned-memory-limit=20480M was set, and \['1G'\] is read"
    ):
        await world.keeper.attach(world.gpu(), tenant(2, sms=33, memory=20 * GIB))
    assert len(spaces(world)) == 2
    assert [t.claim for t in (await world.state()).tenants] == ["uid-1"]
