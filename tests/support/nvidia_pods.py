"""The real driver on a machine that is a node of the testbed: `node`, to be called with a description."""

from __future__ import annotations

import sys

import pytest

from pydra_nvidia_fake import FakeHost

COMMAND = [sys.executable, "-m", "pydra_nvidia", "run"]


@pytest.fixture
async def node(request, testbed, tmp_path):
    """Make the test module's `CLASSES`, and start the driver on a machine, with some settings; returns the machine."""
    (tmp_path / "classes.yaml").write_text(request.module.CLASSES)
    await testbed.apply(tmp_path / "classes.yaml")

    async def start(description, **environ):
        host = FakeHost.build(description, tmp_path / "machine")
        root = {"NVIDIA_HOST_ROOT": str(host.root)}
        host.driver = await testbed.driver(COMMAND, environ=root | environ)
        return host

    return start
