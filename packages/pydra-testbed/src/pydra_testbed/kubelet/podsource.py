"""The pods bound to one node, listed and watched.

Feeds the `PodManager`. Every new watch starts with a list, so nothing is missed however a watch ended.
"""

from __future__ import annotations

import logging
from typing import Protocol

from pydra_testbed.clock import Clock
from pydra_testbed.objects import Api, ApiStatusError, KubeObject, Selection, uid_of

_log = logging.getLogger(__name__)

# Seconds before a refused list or watch is tried again.
_RETRY = 1.0


class PodListener(Protocol):
    """Who is told about pods."""

    def changed(self, pod: KubeObject) -> None:
        """A pod appeared or is different."""

    def removed(self, pod: KubeObject) -> None:
        """A pod is gone."""

    def synced(self) -> None:
        """All pods there are have been told."""


class PodSource:
    """Tells `listener` about the pods with `spec.nodeName` of this node."""

    def __init__(self, api: Api, clock: Clock, node: str, listener: PodListener) -> None:
        self._api = api
        self._clock = clock
        self._selection = Selection(field_selector=f"spec.nodeName={node}")
        self._listener = listener
        self._known: dict[str, KubeObject] = {}

    async def run(self) -> None:
        """Follow the pods until cancelled."""
        while True:
            try:
                await self._follow(await self._list())
            except ApiStatusError as error:
                extra = {"code": error.code, "error": error.message}
                _log.warning("pods not watched, listing again", extra=extra)
                await self._clock.sleep(_RETRY)

    async def _list(self) -> str:
        listing = await self._api.list("pods", self._selection)
        present = {uid_of(pod): pod for pod in listing.items}
        for uid in self._known.keys() - present.keys():
            self._remove(self._known[uid])
        for pod in present.values():
            self._tell(pod)
        self._listener.synced()
        return listing.resource_version

    async def _follow(self, version: str) -> None:
        async for event in self._api.watch("pods", self._selection, version):
            if event.type in {"ADDED", "MODIFIED"}:
                self._tell(event.object)
            elif event.type == "DELETED":
                self._remove(event.object)
            elif event.type == "ERROR":
                return

    def _tell(self, pod: KubeObject) -> None:
        self._known[uid_of(pod)] = pod
        self._listener.changed(pod)

    def _remove(self, pod: KubeObject) -> None:
        self._known.pop(uid_of(pod), None)
        self._listener.removed(pod)
