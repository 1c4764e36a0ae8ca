"""Local, current copies of collections: list once, watch on, list again when the watch cannot continue.

Shared by the testbed's components (scheduler, controllers, kubelets), which reconcile from these copies and
never ask the API server for what they can see here. Any error of the server is survived: 410 leads to a new
list at once, everything else to another try after a growing pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydra_testbed.clock import Clock
from pydra_testbed.objects import (
    EVERYTHING,
    Api,
    ApiStatusError,
    KubeObject,
    ObjectList,
    Selection,
    key_of,
)

_log = logging.getLogger(__name__)

_EXPIRED = 410
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Change:
    """One object before and after; None before it appeared and after it went."""

    resource: str
    old: KubeObject | None
    new: KubeObject | None

    @property
    def object(self) -> KubeObject:
        """The object as last seen."""
        found = self.new if self.new is not None else self.old
        if found is None:
            raise ValueError("a change without any object")
        return found


OnChange = Callable[[Change], None]


class Store:
    """Objects by `namespace/name`, each in the newest version seen. They are shared: copy before changing."""

    def __init__(self, resource: str, on_change: OnChange) -> None:
        self.resource = resource
        self._on_change = on_change
        self._objects: dict[str, KubeObject] = {}
        self._newest = 0

    def get(self, key: str) -> KubeObject | None:
        return self._objects.get(key)

    def __iter__(self) -> Iterator[KubeObject]:
        return iter(tuple(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def objects(self) -> dict[str, KubeObject]:
        """The objects by key; a live view for reading."""
        return self._objects

    def offer(self, obj: KubeObject) -> None:
        """Take in the answer to an own write before the watch brings it, unless something newer is known."""
        version, known = _version(obj), self._objects.get(key_of(obj))
        if known is None and version <= self._newest:
            return  # Deleted since.
        if known is None or version > _version(known):
            self._put(obj)

    def assume(self, obj: KubeObject) -> None:
        """Take in what a write must have led to when its answer does not say; the next event overrules it."""
        known = self._objects.get(key_of(obj))
        if known is not None and _version(known) <= _version(obj):
            self._put(obj)

    def replace(self, listed: ObjectList) -> None:
        """Become what a list says, reporting every difference."""
        self._newest = max(self._newest, int(listed.resource_version or 0))
        gone = set(self._objects) - {key_of(obj) for obj in listed.items}
        for key in sorted(gone):
            self._drop(key, self._objects[key])
        for obj in listed.items:
            known = self._objects.get(key_of(obj))
            if known is None or _version(known) != _version(obj):
                self._put(obj)

    def apply(self, kind: str, obj: KubeObject) -> None:
        """Take in one watch event."""
        self._newest = max(self._newest, _version(obj))
        if kind == "DELETED":
            self._drop(key_of(obj), obj)
        elif kind in {"ADDED", "MODIFIED"}:
            known = self._objects.get(key_of(obj))
            if known is None or _version(obj) > _version(known):
                self._put(obj)

    def _put(self, obj: KubeObject) -> None:
        key = key_of(obj)
        known = self._objects.get(key)
        self._objects[key] = obj
        if known is not None and known["metadata"]["uid"] != obj["metadata"]["uid"]:
            self._on_change(Change(self.resource, known, None))
            known = None
        self._on_change(Change(self.resource, known, obj))

    def _drop(self, key: str, last: KubeObject) -> None:
        if self._objects.pop(key, None) is not None:
            self._on_change(Change(self.resource, last, None))


def _version(obj: KubeObject) -> int:
    # Kubernetes 1.35 made resource versions comparable; this server's always are.
    return int(obj["metadata"].get("resourceVersion") or 0)


class Reflector:
    """Keeps one store current until cancelled. `synced` is set once the first list is in."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        resource: str,
        on_change: OnChange,
        selection: Selection = EVERYTHING,
    ) -> None:
        self.store = Store(resource, on_change)
        self.synced = asyncio.Event()
        self._api = api
        self._clock = clock
        self._resource = resource
        self._selection = selection

    async def run(self) -> None:
        """List and watch, for ever."""
        pause, version = _FIRST_PAUSE, ""
        while True:
            try:
                if not version:
                    listed = await self._api.list(self._resource, self._selection)
                    self.store.replace(listed)
                    self.synced.set()
                    version = listed.resource_version
                version, pause = await self._follow(version), _FIRST_PAUSE
            except ApiStatusError as problem:
                extra = {"resource": self._resource, "code": problem.code, "error": problem.message}
                _log.debug("list or watch failed", extra=extra)
                # A broken watch may resume where it was; only the list knows after an expiry.
                version = "" if problem.code == _EXPIRED else version
                if problem.code != _EXPIRED or pause > _FIRST_PAUSE:
                    await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _follow(self, version: str) -> str:
        """Apply events until the server ends the watch; returns where to go on."""
        quiet = True
        async for event in self._api.watch(self._resource, self._selection, version):
            if event.type == "ERROR":
                status = event.object
                raise ApiStatusError(
                    int(status.get("code", 0)), status.get("reason", ""), status.get("message", "")
                )
            self.store.apply(event.type, event.object)
            quiet = False
            version = event.object["metadata"].get("resourceVersion") or version
        if quiet:  # A server that ends every watch at once is not asked again at once.
            await self._clock.sleep(_FIRST_PAUSE)
        return version


class Reflectors:
    """The reflectors of one component; `on_change` hears of every change of every resource."""

    def __init__(
        self, api: Api, clock: Clock, resources: tuple[str, ...], on_change: OnChange
    ) -> None:
        self._all = {resource: Reflector(api, clock, resource, on_change) for resource in resources}

    def __getitem__(self, resource: str) -> Store:
        return self._all[resource].store

    async def synced(self) -> None:
        """Return when every store holds its first list."""
        for reflector in self._all.values():
            await reflector.synced.wait()

    async def run(self) -> None:
        """Keep all stores current, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._all.values():
                group.create_task(reflector.run())
