"""Taking a client's body in: the right kind, the right place, decoded, unknown fields reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from pydra_testbed.api._core import Core, Options, Target
from pydra_testbed.api._decode import DecodeError, cannot_read, decode
from pydra_testbed.api._gates import drop_fields
from pydra_testbed.api._kinds import Catalog, Kind
from pydra_testbed.api._problems import bad_request, unrecognized
from pydra_testbed.api._strategies import strategy_of
from pydra_testbed.api._versions import own_shape
from pydra_testbed.api._views import inward
from pydra_testbed.objects import ApiStatusError, KubeObject

_SCHEME = "pkg/runtime/scheme.go:111"
"""Where Kubernetes made its scheme; part of its text."""


@contextmanager
def carrying(warnings: tuple[str, ...]) -> Iterator[None]:
    """Let a refusal inside the block carry the warnings that were found before."""
    try:
        yield
    except ApiStatusError as error:
        error.warnings = (*error.warnings, *warnings)
        raise


def take_in(
    core: Core, target: Target, body: Any, options: Options
) -> tuple[KubeObject, tuple[str, ...]]:
    """The decoded object in its stored form, and warnings.

    Raises:
        ApiStatusError: 400, the body is of another kind or type, or has unknown fields under Strict.
    """
    kind = target.kind
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise unrecognized(kind, msgspec.json.encode(body), f"json: {cannot_read(body)}")
    _check_type(core.catalog, kind, body)
    obj, problems = _decoded(kind, body)
    if problems and options.field_validation == "Strict":
        raise _unreadable(kind, f"strict decoding error: {', '.join(problems)}")
    drop_fields(obj, core.dropping.get(kind.plural, ()))
    obj["apiVersion"] = kind.stored_api_version
    obj["kind"] = kind.kind
    _check_namespace(target, obj.setdefault("metadata", {}))
    return obj, () if options.field_validation == "Ignore" else problems


def _decoded(kind: Kind, body: KubeObject) -> tuple[KubeObject, tuple[str, ...]]:
    """Renamed fields are exchanged before the table is read, converted ones after."""
    shape = own_shape(kind) or strategy_of(kind).shape
    try:
        decoded = decode(inward(kind, body) if kind.renames else body, shape, kind.version)
    except DecodeError as error:
        raise _unreadable(kind, str(error)) from None
    obj = decoded.object if kind.renames else inward(kind, decoded.object)
    problems = decoded.problems
    if kind.definition is not None:
        problems += tuple(f'unknown field "{path}"' for path in kind.definition.prune(obj))
    return obj, problems


def _check_type(catalog: Catalog, kind: Kind, body: KubeObject) -> None:
    """A body without a type is taken for the kind of its path."""
    version, name = body.get("apiVersion") or kind.api_version, body.get("kind") or kind.kind
    if (version, name) == (kind.api_version, kind.kind):
        return
    short = str(version).rpartition("/")[2]
    if not any((k.api_version, k.kind) == (version, name) for k in catalog.kinds):
        why = f'no kind "{name}" is registered for version "{version}" in scheme "{_SCHEME}"'
    elif name != kind.kind:
        internal = kind.group.partition(".")[0] or "core"
        why = f"converting ({short}.{name}) to ({internal}.{kind.kind}): unknown conversion"
    else:
        raise bad_request(
            f"the API version in the data ({version}) does not match "
            f"the expected API version ({kind.api_version})"
        )
    raise bad_request(f'{name} in version "{short}" cannot be handled as a {kind.kind}: {why}')


def _check_namespace(target: Target, meta: KubeObject) -> None:
    if not target.kind.namespaced:
        return
    given = meta.get("namespace") or target.namespace
    if given != target.namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    meta["namespace"] = given


def _unreadable(kind: Kind, why: str) -> ApiStatusError:
    return bad_request(
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}'
    )
