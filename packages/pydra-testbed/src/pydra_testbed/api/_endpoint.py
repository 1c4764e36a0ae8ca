"""One request, one answer, without a transport: verbs, parameters, bodies, codes, warnings.

The HTTP adapter hands everything here that is neither a watch nor a log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from pydra_testbed.api import _problems
from pydra_testbed.api._bindings import bind
from pydra_testbed.api._causes import Cause, not_supported, shown
from pydra_testbed.api._context import ANYONE, Writer
from pydra_testbed.api._core import Core, Options, Target, Written
from pydra_testbed.api._creates import create
from pydra_testbed.api._patches import APPLY
from pydra_testbed.api._patching import patch
from pydra_testbed.api._policies import admit_deletion
from pydra_testbed.api._reads import delete_selected, list_body, select
from pydra_testbed.api._received import read
from pydra_testbed.api._removal import DeleteOptions, delete
from pydra_testbed.api._scales import patch_scale, rescale, scale_of
from pydra_testbed.api._selectors import matcher
from pydra_testbed.api._tables.table import Tabulator, wants_table
from pydra_testbed.api._updates import update
from pydra_testbed.api._views import body_of
from pydra_testbed.objects import Patch, Preconditions, Selection

_MANAGER_MAX = 128
BODY_LIMIT = 3 * 1024 * 1024
_JSON_TYPES = frozenset({"", "application/json"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request on a resource, its body read."""

    verb: str
    target: Target
    query: Mapping[str, str]
    content_type: str = ""
    body: bytes = b""
    agent: str = ""
    writer: Writer = ANYONE
    accept: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer; errors are `ApiStatusError`."""

    code: int
    body: bytes
    warnings: tuple[str, ...] = field(default=())


def verb_of(method: str, target: Target, *, watching: bool) -> str:
    """Kubernetes' verb for a method on a target.

    Raises:
        ApiStatusError: 405.
    """
    if method == "GET" and not target.name:
        return "watch" if watching else "list"
    one = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    many = {"POST": "create", "DELETE": "deletecollection"}
    verb = one.get(method) if target.name else many.get(method)
    if target.subresource in {"binding", "token"} or target.kind.virtual:
        verb = "create" if method == "POST" else None
    elif target.subresource and verb == "delete":
        verb = None
    if verb is None:
        raise _problems.method_not_allowed()
    return verb


def respond(core: Core, request: Request) -> Answer:
    """Carry out a request.

    Raises:
        ApiStatusError: everything that is not a success.
    """
    _need_namespace(request)
    return _HANDLERS[request.verb](core, request)


def _need_namespace(request: Request) -> None:
    """Single objects of namespaced kinds are only reached through their namespace."""
    target = request.target
    across = request.verb in {"list", "deletecollection"}
    if target.kind.namespaced and not target.namespace and not across:
        raise _problems.no_such_path()


def _get(core: Core, request: Request) -> Answer:
    target, stored = request.target, core.find(request.target)
    if target.subresource == "scale":
        return Answer(200, _encode(scale_of(target.kind, stored)))
    if wants_table(request.accept):
        return Answer(200, tabulator(core, request).table([stored], str(stored.version)))
    return Answer(200, body_of(target.kind, stored))


def _list(core: Core, request: Request) -> Answer:
    target = request.target
    found = select(core, target, matcher(target.kind, selection(request)))
    if wants_table(request.accept):
        return Answer(200, tabulator(core, request).table(found, str(core.store.version)))
    return Answer(200, list_body(core, target, found))


def tabulator(core: Core, request: Request) -> Tabulator:
    """What renders the answer to a request that wants a Table."""
    include = request.query.get("includeObject") or "Metadata"
    if include not in {"Metadata", "Object", "None"}:
        raise _problems.bad_request(f'includeObject: Unsupported value: "{include}"')
    return Tabulator(request.target.kind, core.clock.now(), include)


def _create(core: Core, request: Request) -> Answer:
    target = request.target
    if target.subresource == "binding":
        bind(core, target, _json(request), _options(request))
        return Answer(201, _encode(_problems.success(target.kind, target.name)))
    return _written(target, create(core, target, _json(request), _options(request)))


def _update(core: Core, request: Request) -> Answer:
    if request.target.subresource == "scale":
        scale = rescale(core, request.target, _json(request), _options(request))
        return Answer(200, _encode(scale))
    return _written(request.target, update(core, request.target, _json(request), _options(request)))


def selection(request: Request) -> Selection:
    """The objects a collection request means."""
    query = request.query
    return Selection(
        request.target.namespace, query.get("labelSelector", ""), query.get("fieldSelector", "")
    )


def _options(request: Request) -> Options:
    validation = request.query.get("fieldValidation") or "Warn"
    if validation not in {"Ignore", "Warn", "Strict"}:
        cause = not_supported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"])
        raise _problems.bad_option(request.verb, cause)
    dry = _is_dry(request.verb, request.query.get("dryRun", ""))
    return Options(dry, validation, _manager(request), request.writer)


def _manager(request: Request) -> str:
    """Who writes: the name the request gives, or the first word of its user agent."""
    named = request.query.get("fieldManager", "")
    if named:
        return named
    program = "".join(c for c in request.agent.partition("/")[0] if c.isprintable())
    return program[:_MANAGER_MAX] or "unknown"


def _is_dry(verb: str, value: str) -> bool:
    if value not in {"", "All"}:
        text = f'Unsupported value: {shown([value])}: supported values: "All"'
        raise _problems.bad_option(verb, Cause("dryRun", "FieldValueNotSupported", text))
    return value == "All"


def _json(request: Request) -> Any:
    if request.content_type not in _JSON_TYPES:
        raise _problems.unsupported_media(request.content_type, ["application/json"])
    return _parsed(request)


def _parsed(request: Request) -> Any:
    """The body's JSON."""
    try:
        return read(request.body)
    except ValueError as error:
        raise _problems.unrecognized(request.target.kind, request.body, str(error)) from None


def _written(target: Target, written: Written) -> Answer:
    code = 201 if written.created else 200
    return Answer(code, body_of(target.kind, written.stored), written.warnings)


def _patch(core: Core, request: Request) -> Answer:
    query = request.query
    document = Patch(
        _yaml(request) if request.content_type == APPLY else _parsed(request),
        request.content_type,
        query.get("fieldManager", ""),
        query.get("force") in {"1", "true"},
    )
    if request.target.subresource == "scale":
        return Answer(200, _encode(patch_scale(core, request.target, document, _options(request))))
    return _written(request.target, patch(core, request.target, document, _options(request)))


def _yaml(request: Request) -> Any:
    """An applied configuration; JSON, which most clients send, is YAML too and read faster."""
    try:
        return msgspec.json.decode(request.body)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(json.dumps(yaml.safe_load(request.body), default=str))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _problems.bad_request(f"error decoding YAML: {error}") from None


def _delete(core: Core, request: Request) -> Answer:
    target = request.target
    options = _delete_options(request)
    admit_deletion(core, target, request.writer, dry_run=options.dry_run)
    removed = delete(core, target, options)
    if removed.gone and not target.kind.returns_deleted:
        body = _problems.success(target.kind, target.name, removed.stored.uid)
        return Answer(200, _encode(body))
    return Answer(200, body_of(target.kind, removed.stored))


def _delete_collection(core: Core, request: Request) -> Answer:
    chosen = matcher(request.target.kind, selection(request))
    options = _delete_options(request)
    for stored in select(core, request.target, chosen):
        one = Target(request.target.kind, *stored.key)
        admit_deletion(core, one, request.writer, dry_run=options.dry_run)
    removed = delete_selected(core, request.target, chosen, options)
    return Answer(200, list_body(core, request.target, [entry.stored for entry in removed]))


def _delete_options(request: Request) -> DeleteOptions:
    """From the body or, in its absence, the query."""
    body = _parsed(request) if request.body.strip() else {}
    if not isinstance(body, dict):
        raise _problems.bad_request("the body of a delete must be DeleteOptions")
    asked = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
    dry = (body.get("dryRun") or [request.query.get("dryRun", "")])[0]
    try:
        seconds = None if grace is None else int(grace)
    except ValueError:
        message = f"gracePeriodSeconds must be a whole number, not {grace!r}"
        raise _problems.bad_request(message) from None
    return DeleteOptions(
        seconds,
        Preconditions(asked.get("uid") or "", asked.get("resourceVersion") or ""),
        body.get("propagationPolicy") or request.query.get("propagationPolicy", ""),
        _is_dry("delete", dry),
    )


_HANDLERS: Mapping[str, Callable[[Core, Request], Answer]] = {
    "get": _get,
    "list": _list,
    "create": _create,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "deletecollection": _delete_collection,
}


def _encode(body: Any) -> bytes:
    return msgspec.json.encode(body)
