"""MPS by namespaces: limits that no tenant can lift, on machines whose driver speaks the third protocol."""

from __future__ import annotations

import json
import os

import pytest
from mps_keeper_world import GIB, MIB, fake_host, keeper_world, killed, tenant
from thoroughness import sample

from pydra_core.errors import DeviceBusyError, VendorError
from pydra_nvidia.mps.client import Keeper

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


UNHEARD_OF = {
    "no rows": ("server list", "uid_0 is running as 4711", 0),
    "a refusal of what is only asked": ("server list", "Error: no servers", 1),
    "other columns": ("server list", "uid_0,Ready,0,/run,-,-", 0),
    "a header all the same": ("namespace list", "name,server\ndefault,uid_0\nprobing,uid_0", 0),
    "names with their server": ("namespace list", "uid_0/default,uid_0", 0),
    "nothing": ("namespace list", "", 0),
    "percent with a sign": ("namespace get probing uid_0 active-thread-percentage", "50 %", 0),
    "another unit": ("namespace get probing uid_0 pinned-memory-limit", "1610612736", 0),
    "a field that is called otherwise": ("namespace get", "Error: no such field", 1),
    "a namespace that stays": ("namespace delete", "Error: unknown verb", 1),
    "a verb that is called otherwise": ("namespace create", "Error: unknown verb", 1),
}


@pytest.mark.parametrize(
    "words", sample(UNHEARD_OF, of=4, kind=lambda words: UNHEARD_OF[words][0][:14])
)
async def test_words_nobody_expected_end_in_less_enforcement_that_is_said_and_not_in_a_failure(
    keeper_world, words
):
    world = keeper_world("615.20.01")
    world.host.mps.can(static=False)
    world.host.mps.refuse(*UNHEARD_OF[words])
    await world.start("--patience", "2")
    found = await world.keeper.capabilities(world.gpu())
    assert found.enforcement == "mps-percent"
    assert found.why.startswith("mps-v3-namespace: ")
    assert json.loads((world.own / "capabilities.json").read_text())["until"]  # it is tried again
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=66, memory=10 * GIB))
    assert (one.enforcement, one.percent) == ("mps-percent", 50)
    assert (await world.sees(one.env))["sms"] == 66


async def test_a_list_with_a_row_that_nobody_made_is_not_understood(keeper_world):
    world = keeper_world("615.20.01")
    world.host.mps.can(static=False)
    header = "name,server\ndefault,uid_0"
    world.host.mps.refuse("namespace list", f"{header}\nprobing,uid_0", times=2)
    world.host.mps.refuse("namespace list", header)
    await world.start()
    found = await world.keeper.capabilities(world.gpu())
    assert found.enforcement == "mps-percent"
    assert "namespaces are listed that nobody made: {'name'}" in found.why


async def test_what_went_well_on_trial_and_fails_for_the_first_tenant_ends_in_less_enforcement(
    world,
):
    world.host.mps.can(static=False)
    assert (await world.keeper.capabilities(world.gpu())).enforcement == "mps-v3-namespace"
    world.host.mps.refuse("namespace set", "Error: not today", 1)
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    assert (one.enforcement, one.percent) == ("mps-percent", 50)
    assert (await world.sees(one.env))["sms"] == 66
    found = await world.keeper.capabilities(world.gpu())
    assert found.enforcement == "mps-percent"
    assert "mps-v3-namespace: " in found.why
    assert "not today" in found.why
    world.host.mps.mend()
    two = await world.keeper.attach(world.gpu(), tenant(2, sms=66))
    assert two.enforcement == "mps-percent"
    for claim in ("uid-1", "uid-2"):
        last = await world.keeper.detach(world.uuid, claim)
    assert last.empty
    assert await world.keeper.capabilities(world.gpu()) == found
    kept = world.own / "capabilities.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"until": 1}))  # it is later
    assert (await world.keeper.capabilities(world.gpu())).enforcement == "mps-v3-namespace"


async def test_where_paths_are_too_long_for_sockets_of_namespaces_there_are_none(keeper_world):
    world = keeper_world("615.20.01")
    world.host.mps.can(static=False)
    long = world.folder / ("f" * (35 - len(str(world.folder)) - 1))
    await world.start(NVIDIA_MPS_DIR=str(long))
    one = await Keeper(long).attach(world.gpu(), tenant(1, sms=66))
    assert one.enforcement == "mps-percent"


async def test_clients_that_cannot_be_counted_are_not_none(world):
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    await world.program(one.env)
    world.host.mps.refuse("client list", "PID 4711 of server uid_0")
    state = await world.state()
    assert state.clients is None
    assert "PID 4711 of server uid_0" in state.why
    assert state.alive
