"""What an API server says of slices and nodes, checked as far as the publisher relies on it.

Bodies stay dicts, for what is not ours must survive an update. An answer of another shape is an `ApiError` like
any other failure of the server: it is told, and asked again.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from pydra_core._api.client import decode_object
from pydra_core.errors import ApiError

Body: TypeAlias = dict[str, Any]
_Version: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,20}$")]


class _Metadata(msgspec.Struct):
    name: str
    uid: str
    resource_version: _Version = msgspec.field(name="resourceVersion")
    owner_references: list[dict[str, Any]] | None = msgspec.field(
        name="ownerReferences", default=None
    )


class _Pool(msgspec.Struct):
    name: str
    generation: int
    count: int = msgspec.field(name="resourceSliceCount")


class _Taint(msgspec.Struct):
    key: str


class _Device(msgspec.Struct):
    name: str
    taints: list[_Taint] | None = None


class _Spec(msgspec.Struct):
    driver: str
    pool: _Pool
    devices: list[_Device] | None = None
    node_name: str | None = msgspec.field(name="nodeName", default=None)


class _Slice(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec


class _ListMetadata(msgspec.Struct):
    resource_version: _Version = msgspec.field(name="resourceVersion")


class _List(msgspec.Struct):
    metadata: _ListMetadata
    items: list[dict[str, Any]] | None = None


class _NodeMetadata(msgspec.Struct):
    uid: str


class _Node(msgspec.Struct):
    metadata: _NodeMetadata


def checked_list(content: bytes, driver: str, node: str) -> tuple[dict[str, Body], str]:
    """Return this driver's slices of this node (empty: of none) by name, and the version to watch from.

    Whatever else a server lists that does not know our field selector is left alone.

    Raises:
        ApiError: the answer is no list of slices.
    """
    answer = decode_object("LIST resourceslices", content)
    listed = _convert("LIST resourceslices", answer, _List)
    slices = {}
    for item in listed.items or []:
        found = _convert("LIST resourceslices", item, _Slice)
        if (found.spec.driver, found.spec.node_name or "") == (driver, node):
            slices[found.metadata.name] = item
    return slices, listed.metadata.resource_version


def checked_slice(what: str, body: Body) -> Body:
    """Return `body`, which is a slice as far as we read it. `what` is the request that gave it.

    Raises:
        ApiError: it is none.
    """
    _convert(what, body, _Slice)
    return body


def checked_node_uid(content: bytes) -> str:
    """Return the UID of a node. Raises `ApiError`."""
    node: _Node = _convert("GET node", decode_object("GET node", content), _Node)
    return node.metadata.uid


def _convert(what: str, body: Body, shape: type[Any]) -> Any:
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as err:
        raise ApiError(f"API {what}: the answer is not of the expected shape: {err}") from err
