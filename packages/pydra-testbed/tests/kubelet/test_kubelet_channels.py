"""The connections the kubelet calls drivers on: each is one of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import grpc
import pytest

from pydra_testbed.kubelet import rpc


async def _nothing(_request, _context):
    return b""


async def test_a_socket_that_was_not_there_for_one_connection_is_tried_at_once_for_another():
    """gRPC lets calls to one address share a connection, and with it the pause after one that failed."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        path = Path(folder) / "card.sock"
        async with rpc.open_channel(str(path), "localhost") as early:
            with pytest.raises(grpc.aio.AioRpcError, match="failed to connect"):
                await early.unary_unary("/a.B/C")(b"")
            server = grpc.aio.server()
            method = grpc.unary_unary_rpc_method_handler(_nothing)
            handlers = grpc.method_handlers_generic_handler("a.B", {"C": method})
            server.add_generic_rpc_handlers((handlers,))
            server.add_insecure_port(f"unix:{path}")
            await server.start()
            async with rpc.open_channel(str(path), "localhost") as late:
                assert await late.unary_unary("/a.B/C")(b"") == b""
            await server.stop(None)
