"""PATCH: apply configurations to objects that may not exist, all other formats to those that do."""

from __future__ import annotations

from dataclasses import replace

from pydra_testbed.api import _problems
from pydra_testbed.api._apply.checking import complaints
from pydra_testbed.api._apply.last_applied import KUBECTL, bring_up_to_date, left_conflicts
from pydra_testbed.api._apply.managers import (
    APPLY,
    UPDATE,
    Application,
    Applied,
    ConflictError,
    Manager,
    Ownership,
    Writing,
    applied,
    decoded,
    updated,
)
from pydra_testbed.api._apply.ownership import request_type, type_of, writing
from pydra_testbed.api._apply.types import MergeType
from pydra_testbed.api._core import Core, Options, Target, Written
from pydra_testbed.api._creates import create
from pydra_testbed.api._patches import APPLY as APPLY_TYPE
from pydra_testbed.api._patches import accepted, apply_patch
from pydra_testbed.api._store import Stored
from pydra_testbed.api._updates import replaced, update
from pydra_testbed.api._views import inward, outward
from pydra_testbed.objects import ApiStatusError, KubeObject, Patch

_FIRST = "before-first-apply"


def patch(core: Core, target: Target, document: Patch, options: Options) -> Written:
    """Apply a patch to the newest version.

    Raises:
        ApiStatusError: as `update`; 409 with the fields that others own, 415 for a format that is not
            served, 422 for options that do not fit it, 500 for a configuration that does not fit the kind.
    """
    kind = target.kind
    if document.content_type not in accepted(kind):
        raise _problems.unsupported_patch(accepted(kind))
    if document.content_type == APPLY_TYPE:
        return _apply(core, target, document, options)
    if document.force:
        raise _problems.bad_patch_options("force", "may not be specified for non-apply patch")
    current = core.find(target)
    served = outward(kind, current.decode())
    return update(core, target, apply_patch(kind, served, document), options)


def _apply(core: Core, target: Target, document: Patch, options: Options) -> Written:
    if not document.field_manager:
        raise _problems.bad_patch_options("fieldManager")
    config = _configuration(target, document)
    current = core.bucket(target.kind).objects.get((target.namespace, target.name))
    if current is None and target.subresource:
        raise _problems.not_found(target.kind, target.name)
    told = writing(target, options, APPLY, core.now())
    application = Application(told, config, document.force)
    if current is None:
        return _create(core, target, application, options)
    return _change(core, target, current, application, options)


def _configuration(target: Target, document: Patch) -> KubeObject:
    """The applied object in stored form, checked against its own version's types."""
    kind, body = target.kind, document.body
    if not isinstance(body, dict):
        raise _problems.bad_request("error decoding YAML: the body is no object")
    if body.get("metadata") is None:
        body["metadata"] = {}
    meta = body["metadata"]
    if isinstance(meta, dict) and meta.get("managedFields") is not None:
        raise _problems.bad_request("metadata.managedFields must be nil")
    version = body.setdefault("apiVersion", kind.api_version)
    body.setdefault("kind", kind.kind)
    if version != kind.api_version:
        raise _problems.bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {version}, expected: {kind.api_version}"
        )
    problems = complaints(body, request_type(kind))
    if problems:
        raise _untyped(target, problems)
    if meta.setdefault("name", target.name) != target.name:
        raise _problems.bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
        )
    if kind.namespaced:
        meta.setdefault("namespace", target.namespace)
    return inward(kind, body)


def _untyped(target: Target, problems: tuple[str, ...]) -> ApiStatusError:
    kind = target.kind
    text = problems[0] if len(problems) == 1 else "\n  ".join(("errors:", *problems))
    version = kind.api_version if kind.group else f"/{kind.version}"
    return ApiStatusError(
        500,
        "",
        f"failed to create typed patch object ({target.namespace}/{target.name}; "
        f"{version}, Kind={kind.kind}): {text}",
    )


def _create(core: Core, target: Target, application: Application, options: Options) -> Written:
    if application.config["metadata"].get("resourceVersion"):
        raise _problems.conflict(target.kind, target.name)
    outcome = applied({}, {"metadata": {}}, type_of(target.kind), application)
    body = outward(target.kind, outcome.object or application.config)
    return create(core, target, body, options, outcome.owners)


def _settled(
    owners: Ownership, live: KubeObject, shape: MergeType, application: Application
) -> Applied:
    """The apply's outcome; what kubectl applied from the client's side is no conflict for it."""
    try:
        return applied(owners, live, shape, application)
    except ConflictError as error:
        conflicts = error.conflicts
    if application.writing.manager.name == KUBECTL:
        conflicts = left_conflicts(live, shape, conflicts)
    if conflicts:
        raise _problems.apply_conflict(conflicts)
    return applied(owners, live, shape, replace(application, force=True))


def _change(
    core: Core, target: Target, current: Stored, application: Application, options: Options
) -> Written:
    live = current.decode()
    owners = decoded(live["metadata"].pop("managedFields", None) or ())
    shape = type_of(target.kind)
    if not owners:
        first = Manager(_FIRST, UPDATE, target.kind.stored_api_version)
        owners = updated({}, {"metadata": {}}, live, shape, Writing(first, core.now()))
    outcome = _settled(owners, live, shape, application)
    obj = outcome.object or live
    if application.writing.manager.name == KUBECTL:
        bring_up_to_date(obj, application.config)
    body = outward(target.kind, obj)
    return replaced(core, target, body, options, outcome.owners)
