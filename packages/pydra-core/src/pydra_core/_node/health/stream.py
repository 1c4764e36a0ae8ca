"""The kubelet's health stream, `NodeWatchResources` in v1alpha1 and v1 (KEP-4680).

Each message is the complete list. It is sent when the stream opens, when something changes and every ten seconds,
because a device the kubelet has not heard of for thirty turns unknown. Streams share the encoded devices and
have no queues: a client that reads slowly gets the latest list when it reads again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from pydra_core._api.wanted import Key
from pydra_core._node.health.board import Board
from pydra_core._node.rpc import Stream, service
from pydra_core._proto import dra_health_v1_pb2 as v1
from pydra_core._proto import dra_health_v1alpha1_pb2 as v1alpha1
from pydra_core._telemetry.metrics import Metrics
from pydra_core.health import DeviceHealth, Health

_EVERY = 10.0
_BATCH = 100
_MESSAGE = 1024
"""Characters of a device's message that the kubelet keeps."""
_SHORT = 64
_WHOLE = 3 << 20
"""Bytes of a list beyond which messages are shortened: the kubelet's gRPC takes 4 MiB."""
_WORDS = {
    Health.UNKNOWN: v1.UNKNOWN,
    Health.HEALTHY: v1.HEALTHY,
    Health.UNHEALTHY: v1.UNHEALTHY,
}


class HealthStream:
    """Serves both versions from one list of encoded devices. The messages of the two are alike."""

    def __init__(self, board: Board, metrics: Metrics) -> None:
        self._board = board
        self._metrics = metrics
        self._encoded: dict[Key, bytes] = {}
        self._stale: set[Key] = set(board.states)
        self._clients: set[asyncio.Event] = set()
        self._busy = asyncio.Lock()
        self._stopping = False
        board.listeners.append(self._changed)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """The gRPC services to put on the DRA socket."""
        return tuple(
            service(
                api.DESCRIPTOR.services_by_name["DRAResourceHealth"].full_name,
                {"NodeWatchResources": Stream(api.NodeWatchResourcesRequest, self._watch)},
            )
            for api in (v1, v1alpha1)
        )

    def stop(self) -> None:
        """End all streams, so that the server can stop without waiting for the kubelet."""
        self._stopping = True
        self._wake()

    async def compose(self) -> bytes:
        """The complete list, encoded; gives way to other work every few hundred devices."""
        async with self._busy:
            while self._stale:
                for key in [self._stale.pop() for _ in range(min(_BATCH, len(self._stale)))]:
                    self._encode(key, _MESSAGE)
                await asyncio.sleep(0)
            whole = b"".join(
                self._encoded[key] for key in self._board.states if key in self._encoded
            )
            return whole if len(whole) <= _WHOLE else await self._shortened()

    async def _shortened(self) -> bytes:
        """The list with short messages; full ones come back when fewer devices have any."""
        parts = []
        for index, key in enumerate(tuple(self._encoded)):
            health = self._board.health(key)
            if health is not None:
                parts.append(_entry(health, _SHORT))
            if index % _BATCH == 0:
                await asyncio.sleep(0)
        return b"".join(parts)

    async def _watch(self, *_: Any) -> AsyncIterator[bytes]:
        changed = asyncio.Event()
        self._clients.add(changed)
        self._metrics.streams.set(len(self._clients))
        try:
            while not self._stopping:
                changed.clear()
                yield await self.compose()
                try:
                    async with asyncio.timeout(_EVERY):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            self._clients.discard(changed)
            self._metrics.streams.set(len(self._clients))

    def _changed(self, keys: frozenset[Key]) -> None:
        self._stale.update(keys)
        self._wake()

    def _wake(self) -> None:
        for client in self._clients:
            client.set()

    def _encode(self, key: Key, limit: int) -> None:
        health = self._board.health(key)
        if health is None:
            self._encoded.pop(key, None)
        else:
            self._encoded[key] = _entry(health, limit)


def _entry(health: DeviceHealth, limit: int) -> bytes:
    """One device as it stands in a list. The kubelet takes the time of receipt for the time it was looked at."""
    entry = v1.DeviceHealth(
        device=v1.DeviceIdentifier(pool_name=health.pool, device_name=health.device),
        health=_WORDS[health.health],
        last_updated_time=int(time.time()),
        message=_message(health)[:limit],
    )
    return v1.NodeWatchResourcesResponse(devices=[entry]).SerializeToString()


def _message(health: DeviceHealth) -> str:
    return ": ".join(text for text in (health.reason, health.message) if text)
