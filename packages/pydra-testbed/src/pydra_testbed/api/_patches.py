"""Patch documents applied to an object: JSON merge patch, JSON patch, and the simple strategic merge.

A strategic merge patch without lists and directives means the same as a merge patch; any other needs the
merge keys of every list and is refused as an unsupported format.
"""

from __future__ import annotations

import copy
from typing import Any

from pydra_testbed.api._problems import bad_request, unsupported_media
from pydra_testbed.objects import ApiStatusError, KubeObject

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
ACCEPTED = (JSON, MERGE)
_OPERATIONS_MAX = 10_000


def apply_patch(obj: KubeObject, content_type: str, body: Any) -> KubeObject:
    """The patched object; `obj` stays as it is.

    Raises:
        ApiStatusError: 400 for a malformed patch, 415 for a format not served, 422 for a JSON patch
            that does not fit the object.
    """
    if content_type == JSON:
        return _json_patch(obj, body)
    if content_type == MERGE or (content_type == STRATEGIC and _plain(body)):
        if not isinstance(body, dict):
            raise bad_request("error decoding patch: json: cannot unmarshal into a JSON object")
        merged: KubeObject = merge(obj, body)
        return merged
    raise unsupported_media(content_type, ACCEPTED)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def _plain(patch: Any) -> bool:
    if isinstance(patch, dict):
        return all(not key.startswith("$") and _plain(value) for key, value in patch.items())
    return not isinstance(patch, list)


def _json_patch(obj: KubeObject, body: Any) -> KubeObject:
    """RFC 6902."""
    if not isinstance(body, list):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(body) > _OPERATIONS_MAX:
        message = f"The allowed maximum operations in a JSON patch is {_OPERATIONS_MAX}"
        raise ApiStatusError(413, "RequestEntityTooLarge", message)
    document: Any = copy.deepcopy(obj)
    for operation in body:
        document = _operate(document, operation)
    if not isinstance(document, dict):
        raise _does_not_fit()
    return document


def _operate(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        raise bad_request("error decoding patch: every operation needs an op and a path")
    path = _steps(operation["path"])
    match operation.get("op"):
        case "add":
            return _add(document, path, _value(operation))
        case "remove":
            return _remove(document, path)
        case "replace":
            _at(document, path)
            return (
                _add(_remove(document, path), path, _value(operation))
                if path
                else _value(operation)
            )
        case "move":
            source = _steps(str(operation.get("from", "")))
            moved = _at(document, source)
            return _add(_remove(document, source), path, moved)
        case "copy":
            source = _steps(str(operation.get("from", "")))
            return _add(document, path, copy.deepcopy(_at(document, source)))
        case "test":
            if _at(document, path) != operation.get("value"):
                raise _does_not_fit()
            return document
        case other:
            raise bad_request(f"error decoding patch: unknown operation {other!r}")


def _value(operation: KubeObject) -> Any:
    if "value" not in operation:
        raise bad_request("error decoding patch: the operation needs a value")
    return copy.deepcopy(operation["value"])


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise bad_request(f"error decoding patch: {pointer!r} is no JSON pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _at(document: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list):
            document = document[_index(step, len(document) - 1)]
        else:
            raise _does_not_fit()
    return document


def _index(step: str, last: int) -> int:
    if not step.isdecimal() or int(step) > last:
        raise _does_not_fit()
    return int(step)


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _at(document, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else _index(path[-1], len(parent)), value)
    else:
        raise _does_not_fit()
    return document


def _remove(document: Any, path: list[str]) -> Any:
    _at(document, path)
    parent = _at(document, path[:-1])
    del parent[path[-1] if isinstance(parent, dict) else int(path[-1])]
    return document


def _does_not_fit() -> ApiStatusError:
    message = "the server rejected our request due to an error in our request"
    return ApiStatusError(422, "Invalid", message)
