from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from driver_world import World
from hostile_world import hostile_world
from unruly_api import UnrulyApi, unruly_api

from pydra_testbed.api import write_kubeconfig


@pytest.fixture
async def hostile():
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        async with hostile_world(Path(folder)) as world:
            yield world


@dataclass
class Unruly:
    """The node of `world`, its API server behind a door that misbehaves to plan."""

    world: World
    api: UnrulyApi
    url: str

    async def start(self, **environ):
        file = write_kubeconfig(self.world.root / "through-the-door", self.url)
        return await self.world.start(**{"KUBECONFIG": str(file)} | environ)


@pytest.fixture
async def unruly(world):
    upstream = yaml.safe_load(world.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    async with unruly_api(upstream) as (api, url):
        yield Unruly(world, api, url)
        for driver in world.drivers:
            await driver.stop(kill=True)
