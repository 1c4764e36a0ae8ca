"""Answers other than success, in Kubernetes' words: the one place that knows codes, reasons and texts.

Raised by the request core as `ApiStatusError`, written to the wire by `status_body`. The texts are the API
server's (apimachinery `api/errors`), because clients and people match on them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydra_testbed.api._apply.managers import Conflict
from pydra_testbed.api._apply.paths import shown
from pydra_testbed.api._causes import Cause
from pydra_testbed.api._kinds import Kind
from pydra_testbed.objects import ApiStatusError, KubeObject

_INVALID = 422
MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)

_SHOWN = 30


def _details(kind: Kind, name: str) -> KubeObject:
    details: KubeObject = {"kind": kind.plural}
    if name:
        details["name"] = name
    if kind.group:
        details["group"] = kind.group
    return details


def bad_request(message: str) -> ApiStatusError:
    return ApiStatusError(400, "BadRequest", message)


def unrecognized(kind: Kind, body: bytes, why: str) -> ApiStatusError:
    """A body whose kind could not be found out; its beginning is shown."""
    shown = body[:_SHOWN].decode(errors="replace") if body[:1] == b"{" else body[:_SHOWN].hex()
    if len(body) > _SHOWN:
        shown += " ..."
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind.kind}): "
        f"couldn't get version/kind; json parse error: {why} ({shown or '<empty>'})"
    )


def unauthorized() -> ApiStatusError:
    return ApiStatusError(401, "Unauthorized", "Unauthorized")


def forbidden(kind: Kind, name: str, why: str) -> ApiStatusError:
    subject = f'{kind.qualified_plural} "{name}"' if name else kind.qualified_plural
    message = f"{subject} is forbidden: {why}"
    return ApiStatusError(403, "Forbidden", message, _details(kind, name))


def forbidden_act(why: str) -> ApiStatusError:
    """Something that is no request on an object, such as taking somebody's place."""
    return ApiStatusError(403, "Forbidden", why)


def forbidden_path(why: str) -> ApiStatusError:
    """A path that is no resource and that the caller may not read."""
    return ApiStatusError(403, "Forbidden", f"forbidden: {why}")


def not_found(kind: Kind, name: str) -> ApiStatusError:
    message = f'{kind.qualified_plural} "{name}" not found'
    return ApiStatusError(404, "NotFound", message, _details(kind, name))


def no_such_path() -> ApiStatusError:
    return ApiStatusError(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed() -> ApiStatusError:
    message = "the server does not allow this method on the requested resource"
    return ApiStatusError(405, "MethodNotAllowed", message)


def already_exists(kind: Kind, name: str) -> ApiStatusError:
    message = f'{kind.qualified_plural} "{name}" already exists'
    return ApiStatusError(409, "AlreadyExists", message, _details(kind, name))


def conflict(kind: Kind, name: str, why: str = MODIFIED) -> ApiStatusError:
    message = f'Operation cannot be fulfilled on {kind.qualified_plural} "{name}": {why}'
    return ApiStatusError(409, "Conflict", message, _details(kind, name))


def wrong_uid(kind: Kind, name: str, asked: str, actual: str) -> ApiStatusError:
    """A UID that names an earlier object of the same name."""
    why = f"Precondition failed: UID in precondition: {asked}, UID in object meta: {actual}"
    return conflict(kind, name, why)


def failed_precondition(
    kind: Kind, name: str, field: str, asked: str, actual: str
) -> ApiStatusError:
    """A deletion's precondition on `UID` or `ResourceVersion` that does not hold; says the kind for the plural."""
    fate = "deleted and then recreated" if field == "UID" else "modified"
    why = (
        f"the {field} in the precondition ({asked}) does not match the {field} in record ({actual}). "
        f"The object might have been {fate}"
    )
    message = f'Operation cannot be fulfilled on {kind.qualified_kind} "{name}": {why}'
    return ApiStatusError(409, "Conflict", message, _details(kind, name) | {"kind": kind.kind})


def expired(message: str) -> ApiStatusError:
    """A resourceVersion that left the replay window: list again, then watch from there."""
    return ApiStatusError(410, "Expired", message)


def too_new(asked: int, current: int) -> ApiStatusError:
    """A resourceVersion this server has not reached, as after a restart: list again."""
    message = f"Too large resource version: {asked}, current: {current}"
    details: KubeObject = {
        "retryAfterSeconds": 1,
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
    }
    return ApiStatusError(504, "Timeout", f"Timeout: {message}", details)


def too_large(limit: int) -> ApiStatusError:
    message = f"Request entity too large: limit is {limit}"
    return ApiStatusError(413, "RequestEntityTooLarge", message)


def unsupported_media(sent: str, accepted: Sequence[str]) -> ApiStatusError:
    message = (
        f"the body of the request was in an unknown format ({sent or 'none given'}) "
        f"- accepted media types include: {', '.join(accepted)}"
    )
    return ApiStatusError(415, "UnsupportedMediaType", message)


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> ApiStatusError:
    """422 with one cause per field error."""
    texts = list(dict.fromkeys(str(cause) for cause in causes))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(kind, name) | {
        "kind": kind.kind,
        "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}
            for cause in causes
        ],
    }
    message = f'{kind.qualified_kind} "{name}" is invalid: {listed}'
    return ApiStatusError(422, "Invalid", message, details)


def needs_version(kind: Kind, name: str) -> ApiStatusError:
    """An update of a kind that is only changed by those who have read it; says the plural for the kind."""
    why = "Invalid value: 0: must be specified for an update"
    cause = {"reason": "FieldValueInvalid", "message": why, "field": "metadata.resourceVersion"}
    message = f'{kind.qualified_plural} "{name}" is invalid: metadata.resourceVersion: {why}'
    return ApiStatusError(422, "Invalid", message, _details(kind, name) | {"causes": [cause]})


def bad_patch_options(field: str, forbidden_because: str = "") -> ApiStatusError:
    """An option that a patch must have, or one that it must not."""
    reason, why = "FieldValueRequired", "Required value: is required for apply patch"
    if forbidden_because:
        reason, why = "FieldValueForbidden", f"Forbidden: {forbidden_because}"
    details: KubeObject = {
        "group": "meta.k8s.io",
        "kind": "PatchOptions",
        "causes": [{"reason": reason, "message": why, "field": field}],
    }
    message = f'PatchOptions.meta.k8s.io "" is invalid: {field}: {why}'
    return ApiStatusError(422, "Invalid", message, details)


def bad_option(verb: str, cause: Cause) -> ApiStatusError:
    """An option of a write that no API server knows."""
    kind = f"{verb.capitalize()}Options"
    told = {"reason": cause.reason, "message": cause.message, "field": cause.field}
    details: KubeObject = {"group": "meta.k8s.io", "kind": kind, "causes": [told]}
    return ApiStatusError(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {cause}', details)


def apply_conflict(conflicts: Sequence[Conflict]) -> ApiStatusError:
    """409 with one cause for each field of each other manager."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {conflict.manager.shown()}",
            "field": shown(conflict.path),
        }
        for conflict in conflicts
    ]
    if len(causes) == 1:
        told = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        told = f"{len(causes)} conflicts: {_by_manager(conflicts)}"
    return ApiStatusError(409, "Conflict", f"Apply failed with {told}", {"causes": causes})


def _by_manager(conflicts: Sequence[Conflict]) -> str:
    lines: list[str] = []
    for manager in dict.fromkeys(conflict.manager for conflict in conflicts):
        lines.append(f"conflicts with {manager.shown()}:")
        lines += [f"- {shown(one.path)}" for one in conflicts if one.manager == manager]
    return "\n".join(lines)


def unsupported_patch(accepted: Sequence[str]) -> ApiStatusError:
    message = (
        "the body of the request was in an unknown format "
        f"- accepted media types include: {', '.join(accepted)}"
    )
    return ApiStatusError(415, "UnsupportedMediaType", message)


def internal(message: str) -> ApiStatusError:
    return ApiStatusError(500, "InternalError", message)


def status_body(error: ApiStatusError) -> KubeObject:
    """The `Status` object that carries an error."""
    body: KubeObject = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "code": error.code,
    }
    if error.reason:
        body["reason"] = error.reason
    if error.details or error.code == _INVALID:
        body["details"] = error.details
    return body


def success(kind: Kind, name: str, uid: str = "") -> KubeObject:
    """The `Status` object that stands for a deletion or a binding done."""
    details = _details(kind, name) | ({"uid": uid} if uid else {})
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
