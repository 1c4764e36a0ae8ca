"""The keeper killed before and after every word to NVIDIA's tool: the next one makes daemon and roster agree."""

from __future__ import annotations

import contextlib
import os

import pytest
from mps_keeper_world import GIB, fake_host, keeper_world, tenant
from thoroughness import sample

from pydra_nvidia.mps.client import KeeperAwayError

__all__ = ["fake_host", "keeper_world"]
DRIVERS = {"mps-static": "595.71.05", "mps-percent": "580.95.05"}
if os.geteuid() == 0:  # a server for all users is root's
    DRIVERS["mps-v3-namespace"] = "615.20.01"
EVERY = sample(((d, when, stride) for stride in (5, 7, 8, 11) for d in DRIVERS for when in ("before", "after")), of=7, turn=1)  # fmt: skip


class Life:
    """Claims come and go; whatever is asked is asked again of the next keeper when the first is killed."""

    def __init__(self, world, when, stride):
        self.world, self.when, self.stride, self.killed = world, when, stride, 0

    async def tried(self, ask):
        """Killed once for each `stride` calls of the tool that one answer takes, each time some calls later."""
        for step in range(1, 100):
            self.world.spring(self.when, step * self.stride)
            with contextlib.suppress(KeeperAwayError):
                return await ask()
            await self.world.process.wait()
            await self.world.logged()
            await self.restarted(step)
            self.agrees()
        raise AssertionError("it is never answered")

    async def restarted(self, step):
        """The next keeper may be killed too, while it finds out what there is; the one after that is not."""
        self.killed += 1
        self.world.spring(self.when, step)
        with contextlib.suppress(AssertionError):
            return await self.world.start()
        self.killed += 1
        await self.world.process.wait()
        return await self.world.start()

    async def attach(self, one):
        return await self.tried(lambda: self.world.keeper.attach(self.world.gpu(), one))

    async def detach(self, claim):
        return await self.tried(lambda: self.world.keeper.detach(self.world.uuid, claim))

    def agrees(self):
        """What the daemon has is what the roster says, no more; without a member there is none."""
        try:
            members = self.world.roster()["members"]
        except FileNotFoundError:
            members = []
        assert len(self.world.host.mps.daemons) == bool(members)
        if members:
            assert self.there() <= {m["made"].rpartition("/")[2] for m in members}

    def there(self):
        """Partitions and namespaces that are somebody's, by the tool's own word."""
        rows = self.world.run("namespace", "list", "--format=csv,noheader").splitlines()
        spaces = {row.split(",")[0] for row in rows if row.count(",") > 1}
        return spaces - {"default"} | set(self.world.partitions())


@pytest.mark.parametrize(("enforcement", "when", "stride"), EVERY)
async def test_a_kill_at_any_call_of_the_tool_leaves_nothing_that_is_nobodys(
    keeper_world, enforcement, when, stride
):
    world = keeper_world(DRIVERS[enforcement]).trapped()
    await world.start()
    life = Life(world, when, stride)
    one = await life.attach(tenant(1, sms=64, memory=10 * GIB, compute_mode="default"))
    assert one.enforcement == enforcement
    two = await life.attach(tenant(2, sms=32, memory=20 * GIB))
    life.agrees()
    assert (await world.sees(one.env))["sms"] == 64
    assert not (await life.detach("uid-1")).empty
    life.agrees()
    assert (await world.sees(two.env))["error"] == 0
    last = await life.detach("uid-2")
    assert (last.empty, last.compute_mode) == (True, "default")
    life.agrees()
    assert life.killed
