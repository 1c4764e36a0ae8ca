"""Taking a client's body in: the right kind, the right place, decoded, unknown fields reported."""

from __future__ import annotations

from typing import Any

from pydra_testbed.api._core import Options, Target
from pydra_testbed.api._decode import DecodeError, decode
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._problems import bad_request
from pydra_testbed.api._strategies import strategy_of
from pydra_testbed.api._views import inward
from pydra_testbed.objects import ApiStatusError, KubeObject


def take_in(target: Target, body: Any, options: Options) -> tuple[KubeObject, tuple[str, ...]]:
    """The decoded object in its stored form, and warnings.

    Raises:
        ApiStatusError: 400, the body is of another kind or type, or has unknown fields under Strict.
    """
    kind = target.kind
    if not isinstance(body, dict):
        raise _unreadable(kind, "the body is no JSON object")
    _check_type(kind, body)
    obj, unknown = _decoded(kind, inward(kind, body))
    problems = tuple(f'unknown field "{field}"' for field in unknown)
    if problems and options.field_validation == "Strict":
        raise _unreadable(kind, f"strict decoding error: {', '.join(problems)}")
    obj["apiVersion"] = "v1" if kind.renames else kind.api_version
    obj["kind"] = kind.kind
    _check_namespace(target, obj.setdefault("metadata", {}))
    return obj, () if options.field_validation == "Ignore" else problems


def _decoded(kind: Kind, body: KubeObject) -> tuple[KubeObject, tuple[str, ...]]:
    try:
        decoded = decode(body, strategy_of(kind).shape)
    except DecodeError as error:
        raise _unreadable(kind, str(error)) from None
    return decoded.object, decoded.unknown


def _check_type(kind: Kind, body: KubeObject) -> None:
    """A body without a type is taken for the kind of its path."""
    version, name = body.get("apiVersion") or kind.api_version, body.get("kind") or kind.kind
    if (version, name) == (kind.api_version, kind.kind):
        return
    short = str(version).rpartition("/")[2]
    raise bad_request(
        f'{name} in version "{short}" cannot be handled as a {kind.kind}: '
        f'no kind "{name}" is registered for version "{version}" at this path'
    )


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
