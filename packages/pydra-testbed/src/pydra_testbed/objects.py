"""Kubernetes objects as the testbed passes them: JSON bodies with a few typed accessors.

Bodies stay dicts on purpose (DESIGN §6): a client's unknown fields must survive a round trip, and partial
apply has no typed form. What crosses rooms beyond a body is a frozen value: `ObjectRef`, `WatchEvent`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

KubeObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Points to one object: plural resource name, namespace (empty for cluster scope), name."""

    resource: str
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class ObjectList:
    """One consistent reading of a collection; `resource_version` is where a watch continues."""

    items: tuple[KubeObject, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change: `type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: KubeObject


class ApiStatusError(Exception):
    """An API answer other than success, with the fields of Kubernetes' `Status`.

    `warnings` are for the sender, as those of a success are.
    """

    def __init__(
        self, code: int, reason: str, message: str, details: KubeObject | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details: KubeObject = details or {}
        self.warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource are meant; empty strings select everything."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """One kind the API server serves, for whoever works on all of them."""

    api_version: str
    kind: str
    resource: str
    namespaced: bool


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must still hold when a delete arrives."""

    uid: str = ""
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch body with its content type, as the API server receives it."""

    body: Any
    content_type: str = "application/merge-patch+json"
    field_manager: str = ""
    force: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Api(Protocol):
    """The API server as the testbed's own scheduler, controllers and kubelets see it.

    `resource` is the plural name (`pods`, `resourceclaims`, `resourceslices`, …) or `plural.group` where a
    plural is ambiguous. Every method raises `ApiStatusError`. Objects returned are the caller's own copies.
    """

    def kinds(self) -> tuple[ResourceKind, ...]: ...

    async def get(self, resource: str, name: str, namespace: str = "") -> KubeObject: ...

    async def list(self, resource: str, selection: Selection = EVERYTHING) -> ObjectList: ...

    async def create(self, resource: str, body: KubeObject, namespace: str = "") -> KubeObject: ...

    async def update(
        self, resource: str, body: KubeObject, subresource: str = ""
    ) -> KubeObject: ...

    async def patch(self, ref: ObjectRef, patch: Patch, subresource: str = "") -> KubeObject: ...

    async def delete(
        self,
        ref: ObjectRef,
        grace_seconds: int | None = None,
        preconditions: Preconditions | None = None,
        propagation: str = "",
    ) -> KubeObject: ...

    async def delete_collection(self, resource: str, selection: Selection) -> None: ...

    def watch(
        self, resource: str, selection: Selection = EVERYTHING, resource_version: str = ""
    ) -> AsyncIterator[WatchEvent]: ...


def name_of(obj: KubeObject) -> str:
    """`metadata.name`."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: KubeObject) -> str:
    """`metadata.namespace`, empty for cluster-scoped objects."""
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: KubeObject) -> str:
    """`metadata.uid`."""
    return str(obj["metadata"]["uid"])


def key_of(obj: KubeObject) -> str:
    """`namespace/name`, the way logs and work queues name an object."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)
