"""Answers other than success, in Kubernetes' words: the one place that knows codes, reasons and texts.

Raised by the request core as `ApiStatusError`, written to the wire by `status_body`. The texts are the API
server's (apimachinery `api/errors`), because clients and people match on them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydra_testbed.api._causes import Cause
from pydra_testbed.api._kinds import Kind
from pydra_testbed.objects import ApiStatusError, KubeObject

MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def _details(kind: Kind, name: str) -> KubeObject:
    details: KubeObject = {"kind": kind.plural}
    if name:
        details["name"] = name
    if kind.group:
        details["group"] = kind.group
    return details


def bad_request(message: str) -> ApiStatusError:
    return ApiStatusError(400, "BadRequest", message)


def unauthorized() -> ApiStatusError:
    return ApiStatusError(401, "Unauthorized", "Unauthorized")


def forbidden(kind: Kind, name: str, why: str) -> ApiStatusError:
    subject = f'{kind.qualified_plural} "{name}"' if name else kind.qualified_plural
    message = f"{subject} is forbidden: {why}"
    return ApiStatusError(403, "Forbidden", message, _details(kind, name))


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


def wrong_version(kind: Kind, name: str, asked: str, actual: str) -> ApiStatusError:
    """A resourceVersion precondition that no longer holds."""
    why = (
        "the ResourceVersion in the precondition "
        f"({asked}) does not match the ResourceVersion in record ({actual}). "
        "The object might have been modified"
    )
    return conflict(kind, name, why)


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
        "reason": error.reason,
        "code": error.code,
    }
    if error.details:
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
