"""JSON patch (RFC 6902) as the API server carries it out; called by `_patches`."""

from __future__ import annotations

import copy
from typing import Any

from pydra_testbed.api._problems import bad_request
from pydra_testbed.objects import ApiStatusError, KubeObject

_OPERATIONS_MAX = 10_000


def json_patched(obj: KubeObject, body: Any) -> KubeObject:
    """The patched document; `obj` stays as it is.

    Raises:
        ApiStatusError: 400 for a malformed patch, 413 for too long a one, 422 when it does not fit the object.
    """
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
