"""Kubernetes events of a driver: gathered, counted and limited, so that a rack that goes down is no flood.

Events of one reason about one object become one object with a count for ten minutes. Beyond a budget they are
dropped and counted: events are for people, what must arrive is in conditions and metrics.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

from pydra_core._api.client import KubeClient
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import ApiError

_log = logging.getLogger(__name__)
_GATHER = 0.5
_SAME = 600.0
_BURST, _REFILL = 20, 10.0
"""Events that may be written at once, and seconds until one more may."""
_MESSAGE = 1000
_KNOWN = 256


@dataclass(frozen=True, slots=True)
class About:
    """The object an event is about. A node's UID in events is its name, as with the kubelet."""

    kind: str
    name: str
    uid: str
    namespace: str = ""
    api_version: str = "v1"


@dataclass(frozen=True, slots=True)
class _Written:
    path: str
    count: int
    until: float


class Events:
    """Writes the events of one driver on one node."""

    def __init__(self, client: KubeClient, driver: str, node: str, metrics: Metrics) -> None:
        self._client = client
        self._driver = driver
        self._node = node
        self._metrics = metrics
        self._waiting: dict[tuple[About, str], tuple[str, str]] = {}
        self._written: dict[tuple[About, str], _Written] = {}
        self._wake = asyncio.Event()
        self._budget, self._filled_at = float(_BURST), time.monotonic()

    def node(self) -> About:
        """The node this driver runs on."""
        return About("Node", self._node, self._node)

    def tell(self, about: About, reason: str, message: str, *, warning: bool = True) -> None:
        """Have an event written soon; a newer one of the same reason about the same object replaces it."""
        self._waiting[about, reason] = (message, "Warning" if warning else "Normal")
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; an event that cannot be written is counted and forgotten."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER)
            self._wake.clear()
            waiting, self._waiting = self._waiting, {}
            for (about, reason), (message, kind) in waiting.items():
                if not self._may():
                    self._metrics.event(reason, "dropped")
                    continue
                try:
                    await self._write(about, reason, message, kind)
                    self._metrics.event(reason, "written")
                except ApiError as err:
                    self._metrics.event(reason, "failed")
                    _log.debug("event not written", extra={"event": reason, "why": str(err)})

    def _may(self) -> bool:
        now = time.monotonic()
        self._budget = min(_BURST, self._budget + (now - self._filled_at) / _REFILL)
        self._filled_at = now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True

    async def _write(self, about: About, reason: str, message: str, kind: str) -> None:
        now, key = time.monotonic(), (about, reason)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        known = self._written.get(key)
        if known and now < known.until:
            known = replace(known, count=known.count + 1)
            news = {"count": known.count, "lastTimestamp": stamp, "message": message[:_MESSAGE]}
            try:
                merge = "application/merge-patch+json"
                await self._client.send("PATCH", known.path, news, content_type=merge)
            except ApiError as err:
                if err.status != 404:  # noqa: PLR2004 (events live for an hour, less where configured)
                    raise
            else:
                self._written[key] = known
                return
        body = self._body(about, reason, message, kind, stamp)
        path = f"/api/v1/namespaces/{body['metadata']['namespace']}/events"
        await self._client.send("POST", path, body)
        if len(self._written) >= _KNOWN:
            self._written.pop(next(iter(self._written)))
        self._written[key] = _Written(f"{path}/{body['metadata']['name']}", 1, now + _SAME)

    def _body(
        self, about: About, reason: str, message: str, kind: str, stamp: str
    ) -> dict[str, Any]:
        namespace = about.namespace or "default"
        involved = {"apiVersion": about.api_version, "kind": about.kind, "name": about.name}
        involved |= {"uid": about.uid} | ({"namespace": namespace} if about.namespace else {})
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{about.name[:200]}.{token_hex(8)}", "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message[:_MESSAGE],
            "type": kind,
            "source": {"component": self._driver, "host": self._node},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
