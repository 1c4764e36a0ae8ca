"""The OpenAPI v3 documents of a server: an index, and for each group version schemas and paths.

Paths say what kubectl looks for in them: that writes take `fieldValidation`. They leave out strategic merge
patches on purpose: field tables pass some fields through unseen, and kubectl's own types know their merge keys.
"""

from __future__ import annotations

import hashlib

import msgspec

from pydra_testbed.api._discovery import SERVED_VERSION
from pydra_testbed.api._kinds import Catalog, Kind
from pydra_testbed.api._openapi.schemas import Schema, Schemas
from pydra_testbed.api._patches import APPLY, JSON, MERGE
from pydra_testbed.api._strategies import strategy_of
from pydra_testbed.api._versions import own_shape
from pydra_testbed.objects import KubeObject

_INDEX = "/openapi/v3"
_WRITE_OPTIONS = ("dryRun", "fieldManager", "fieldValidation")


def openapi(catalog: Catalog, path: str) -> KubeObject | None:
    """The document at a path, None when the path is none."""
    if path.rstrip("/") == _INDEX:
        return {
            "paths": {
                place: {"serverRelativeURL": _url(catalog, place)} for place in _places(catalog)
            }
        }
    place = path.removeprefix(f"{_INDEX}/")
    return _document(catalog, place) if place != path and place in _places(catalog) else None


def _places(catalog: Catalog) -> dict[str, tuple[str, str]]:
    """From `api/v1` and `apis/<group>/<version>` to group and version."""
    return {
        f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}": (
            kind.group,
            kind.version,
        )
        for kind in catalog.kinds
    }


def _url(catalog: Catalog, place: str) -> str:
    digest = hashlib.sha256(msgspec.json.encode(_document(catalog, place))).hexdigest()
    return f"{_INDEX}/{place}?hash={digest[:32].upper()}"


def _document(catalog: Catalog, place: str) -> KubeObject:
    group, version = _places(catalog)[place]
    schemas = Schemas(_prefix(group, version))
    paths: KubeObject = {}
    for kind in catalog.of(group, version):
        identity = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        if kind.definition is not None:
            schemas.add_custom(kind.kind, kind.definition.schema, identity)
        else:
            schemas.add(kind.kind, own_shape(kind) or strategy_of(kind).shape, identity)
        paths |= _paths(place, kind, identity)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": SERVED_VERSION},
        "paths": paths,
        "components": {"schemas": schemas.found},
    }


def _prefix(group: str, version: str) -> str:
    """`io.k8s.api.resource.v1`, or a custom group's parts in reverse."""
    if not group or "." not in group or group.endswith(".k8s.io"):
        return f"io.k8s.api.{group.partition('.')[0] or 'core'}.{version}"
    return f"{'.'.join(reversed(group.split('.')))}.{version}"


def _paths(place: str, kind: Kind, identity: KubeObject) -> KubeObject:
    scope = "/namespaces/{namespace}" if kind.namespaced else ""
    collection = f"/{place}{scope}/{kind.plural}"
    many = {"get": _operation("list", kind, identity), "post": _operation("post", kind, identity)}
    if kind.virtual:
        return {collection: {"post": many["post"]}}
    one = {
        "get": _operation("get", kind, identity),
        "put": _operation("put", kind, identity),
        "patch": _operation("patch", kind, identity) | {"requestBody": _patch_body()},
        "delete": _operation("delete", kind, identity),
    }
    return {collection: many, f"{collection}/{{name}}": one}


def _operation(action: str, kind: Kind, identity: KubeObject) -> Schema:
    options = _WRITE_OPTIONS if action in {"post", "put", "patch"} else ()
    return {
        "operationId": f"{action}{kind.version.capitalize()}{kind.kind}",
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
            for name in options
        ],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": identity,
    }


def _patch_body() -> Schema:
    return {"content": {media: {"schema": {"type": "object"}} for media in (JSON, MERGE, APPLY)}}
