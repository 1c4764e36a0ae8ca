"""The kubelet's own gRPC servers, when the kubelet ends while they start."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from pydra_testbed.kubelet.unixserver import serve


@pytest.mark.parametrize("turns", range(4))
async def test_a_kubelet_that_ends_while_its_server_starts_leaves_none_behind(turns):
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        socket = Path(folder) / "pod-resources" / "kubelet.sock"
        socket.parent.mkdir()
        starting = asyncio.create_task(serve("v1.PodResourcesLister", {}, socket))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        (ended,) = await asyncio.gather(starting, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)
        second = await serve("v1.PodResourcesLister", {}, socket)
        assert second is not None
        await second.stop(None)
