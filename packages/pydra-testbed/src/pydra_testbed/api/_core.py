"""What every request works on: the store, the kinds, the clock and the server's settings.

HTTP and `LocalApi` both end here, so that both see the same objects, rules and errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydra_testbed.api._context import (
    ANYONE,
    DEFAULT_GATES,
    CelCheck,
    Context,
    Writer,
    no_cel_check,
)
from pydra_testbed.api._kinds import Catalog, Kind
from pydra_testbed.api._problems import not_found
from pydra_testbed.api._store import Bucket, Store, Stored
from pydra_testbed.clock import Clock, rfc3339


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about: a kind, and within it a namespace, an object, a subresource."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """How a write is meant. `field_validation` is Ignore, Warn or Strict.

    `manager` owns the fields that are written, `writer` is asked for permissions.
    """

    dry_run: bool = False
    field_validation: str = "Warn"
    manager: str = "unknown"
    writer: Writer = ANYONE


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left behind, and what to warn its sender about."""

    stored: Stored
    warnings: tuple[str, ...] = ()
    created: bool = False


class Core:
    """One server's state; the operations are functions over it."""

    def __init__(
        self,
        clock: Clock,
        catalog: Catalog,
        cel_check: CelCheck = no_cel_check,
        gates: Mapping[str, bool] = DEFAULT_GATES,
    ) -> None:
        self.clock = clock
        self.catalog = catalog
        self.store = Store()
        self._cel_check = cel_check
        self._gates = dict(DEFAULT_GATES) | dict(gates)
        self.dropping: dict[str, tuple[str, ...]] = {}
        for kind in catalog.kinds:
            self.store.add_bucket(kind.bucket, kind.selectable.values())

    def forget_changes(self, resource: str) -> None:
        """Empty a resource's replay window, so that watches from before are answered 410 Expired.

        Raises:
            KeyError: no such resource.
        """
        kind = self.catalog.named(resource)
        if kind is None:
            raise KeyError(resource)
        bucket = self.bucket(kind)
        bucket.forget(len(bucket.changes))

    def now(self) -> str:
        return rfc3339(self.clock.now())

    def bucket(self, kind: Kind) -> Bucket:
        return self.store.bucket(kind.bucket)

    def find(self, target: Target) -> Stored:
        """The stored object a request names.

        Raises:
            ApiStatusError: 404.
        """
        stored = self.bucket(target.kind).objects.get((target.namespace, target.name))
        if stored is None:
            raise not_found(target.kind, target.name)
        return stored

    def lacks(self, target: Target) -> bool:
        """Whether the object a request names is yet to be created."""
        return (target.namespace, target.name) not in self.bucket(target.kind).objects

    def namespace(self, name: str) -> Stored | None:
        return self.store.bucket("namespaces").objects.get(("", name))

    def context(self, namespace: str, writer: Writer = ANYONE, version: str = "v1") -> Context:
        """What the rules may know about a write in a namespace."""
        stored = self.namespace(namespace) if namespace else None
        labels = stored.labels if stored else {}
        return Context(self.now(), self._cel_check, self._gates, labels, writer, version)
