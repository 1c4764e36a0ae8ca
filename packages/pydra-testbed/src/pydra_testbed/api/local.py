"""`LocalApi`: the API server without HTTP, for the testbed's own scheduler, controllers and kubelets.

The same core as behind the socket: same rules, same errors, own copies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec

from pydra_testbed.api._bindings import bind
from pydra_testbed.api._core import Core, Options, Target
from pydra_testbed.api._creates import create
from pydra_testbed.api._patching import patch
from pydra_testbed.api._problems import bad_request, no_such_path
from pydra_testbed.api._reads import delete_selected, select
from pydra_testbed.api._removal import DeleteOptions, delete
from pydra_testbed.api._selectors import matcher
from pydra_testbed.api._store import Stored
from pydra_testbed.api._updates import update
from pydra_testbed.api._views import body_of
from pydra_testbed.api._watch import Seen, Watcher
from pydra_testbed.api.faults import Faults
from pydra_testbed.objects import (
    EVERYTHING,
    ApiStatusError,
    KubeObject,
    ObjectList,
    ObjectRef,
    Patch,
    Preconditions,
    ResourceKind,
    Selection,
    WatchEvent,
)


class LocalApi:
    """The `Api` protocol over one server's core.

    `resource` may carry a subresource (`pods/binding`), as an alternative to the parameter.
    """

    def __init__(self, core: Core, faults: Faults, manager: str = "unknown") -> None:
        self._core = core
        self._faults = faults
        self._options = Options(manager=manager)

    def acting_as(self, manager: str) -> LocalApi:
        """The same server for one component: what it writes is its own in `managedFields`."""
        return LocalApi(self._core, self._faults, manager)

    def strict(self) -> LocalApi:
        """The same server for a client that has unknown and double fields refused, as `kubectl apply` does."""
        api = LocalApi(self._core, self._faults)
        api._options = replace(self._options, field_validation="Strict")
        return api

    def kinds(self) -> tuple[ResourceKind, ...]:
        """All kinds that are stored, once each, in the form that is served first."""
        kinds = {kind.bucket: kind for kind in reversed(self._core.catalog.kinds)}
        return tuple(
            ResourceKind(kind.api_version, kind.kind, kind.qualified_plural, kind.namespaced)
            for kind in reversed(kinds.values())
        )

    async def get(self, resource: str, name: str, namespace: str = "") -> KubeObject:
        target = self._target(resource, namespace, name)
        self._check("get", target)
        return _copy(target, self._core.find(target))

    async def list(self, resource: str, selection: Selection = EVERYTHING) -> ObjectList:
        target = self._target(resource, selection.namespace)
        self._check("list", target)
        found = select(self._core, target, matcher(target.kind, selection))
        items = tuple(_copy(target, stored) for stored in found)
        return ObjectList(items, str(self._core.store.version))

    async def create(self, resource: str, body: KubeObject, namespace: str = "") -> KubeObject:
        meta = body.get("metadata") or {}
        target = self._target(
            resource, namespace or meta.get("namespace", ""), meta.get("name", "")
        )
        self._check("create", target)
        if target.subresource == "binding":
            return _copy(target, bind(self._core, target, _own(body), self._options))
        if target.subresource:
            raise no_such_path()
        return _copy(target, create(self._core, target, _own(body), self._options).stored)

    async def update(self, resource: str, body: KubeObject, subresource: str = "") -> KubeObject:
        meta = body.get("metadata") or {}
        target = self._target(
            resource, meta.get("namespace", ""), meta.get("name", ""), subresource
        )
        self._check("update", target)
        return _copy(target, update(self._core, target, _own(body), self._options).stored)

    async def patch(self, ref: ObjectRef, patch_: Patch, subresource: str = "") -> KubeObject:
        target = self._target(ref.resource, ref.namespace, ref.name, subresource)
        self._check("patch", target)
        options = Options(manager=patch_.field_manager or self._options.manager)
        return _copy(target, patch(self._core, target, _own_patch(patch_), options).stored)

    async def delete(
        self,
        ref: ObjectRef,
        grace_seconds: int | None = None,
        preconditions: Preconditions | None = None,
        propagation: str = "",
    ) -> KubeObject:
        target = self._target(ref.resource, ref.namespace, ref.name)
        self._check("delete", target)
        options = DeleteOptions(grace_seconds, preconditions, propagation)
        removed = delete(self._core, target, options)
        return _copy(target, removed.stored)

    async def delete_collection(self, resource: str, selection: Selection) -> None:
        target = self._target(resource, selection.namespace)
        self._check("deletecollection", target)
        delete_selected(self._core, target, matcher(target.kind, selection), DeleteOptions())

    async def watch(
        self, resource: str, selection: Selection = EVERYTHING, resource_version: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Events from `resource_version` on; without one, first what is there now.

        Ends when the server's faults drop watches. Raises `ApiStatusError` 410 when it fell behind.
        """
        target = self._target(resource, selection.namespace)
        self._check("watch", target)
        watcher = Watcher(self._core, target, matcher(target.kind, selection), resource_version)
        epoch = self._faults.watch_epoch
        for seen in watcher.initial():
            yield _event(target, seen)
        while epoch == self._faults.watch_epoch:
            events = watcher.next_events()
            for seen in events:
                yield _event(target, seen)
            if not events:
                await watcher.changed()

    def _target(
        self, resource: str, namespace: str = "", name: str = "", subresource: str = ""
    ) -> Target:
        plain, _, inline = resource.partition("/")
        kind = self._core.catalog.named(plain)
        wanted = subresource or inline
        if kind is None:
            raise ApiStatusError(404, "NotFound", f'resource "{resource}" is not served')
        if wanted and wanted not in kind.subresources:
            raise no_such_path()
        if name and kind.namespaced and not namespace:
            raise bad_request(f'{kind.plural} "{name}": a namespace must be given')
        return Target(kind, namespace if kind.namespaced else "", name, wanted)

    def _check(self, verb: str, target: Target) -> None:
        self._faults.check(verb, target.kind.plural, target.subresource)


def _own(body: KubeObject) -> KubeObject:
    """A copy by way of JSON: what cannot be sent cannot be stored."""
    copied: KubeObject = msgspec.json.decode(msgspec.json.encode(body))
    return copied


def _own_patch(document: Patch) -> Patch:
    return replace(document, body=msgspec.json.decode(msgspec.json.encode(document.body)))


def _copy(target: Target, stored: Stored) -> KubeObject:
    copied: KubeObject = msgspec.json.decode(body_of(target.kind, stored))
    return copied


def _event(target: Target, seen: Seen) -> WatchEvent:
    return WatchEvent(seen.type, _copy(target, seen.stored))
