from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hostile_world import hostile_world


@pytest.fixture
async def hostile():
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        async with hostile_world(Path(folder)) as world:
            yield world
