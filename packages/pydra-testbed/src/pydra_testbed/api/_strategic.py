"""Strategic merge patch: a merge patch that knows which lists merge by key, and has directives.

After apimachinery `strategicpatch`; which lists merge comes from a kind's merge types. Called by `_patches`.
"""

from __future__ import annotations

import copy
from typing import Any

from pydra_testbed.api._apply.lists import is_replaced_by_patch
from pydra_testbed.api._apply.types import Leaf, ListType, MapType, MergeType, resolved
from pydra_testbed.api._problems import bad_request
from pydra_testbed.objects import KubeObject

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic(obj: KubeObject, patch: KubeObject, shape: MergeType) -> KubeObject:
    """The patched object; neither argument is changed.

    Raises:
        ApiStatusError: 400, a directive or a list entry makes no sense.
    """
    result = _map(obj, patch, shape, "")
    if not isinstance(result, dict):
        raise bad_request("error decoding patch: the patch leaves no object")
    return result


def _map(target: Any, patch: KubeObject, shape: MergeType, at: str) -> Any:
    directive = patch.get(_PATCH)
    plain = {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive == "replace":
        return copy.deepcopy(plain)
    if directive == "delete":
        return {}
    if directive is not None and directive != "merge":
        raise bad_request(f"error decoding patch: {at or 'patch'}: unknown directive {directive!r}")
    result = dict(target) if isinstance(target, dict) else {}
    if isinstance(patch.get(_RETAIN), list):
        result = {key: value for key, value in result.items() if key in patch[_RETAIN]}
    kind = resolved(shape, {})
    for key in dict.fromkeys((*plain, *_named_in_directives(patch))):
        child = (kind.of(key) if isinstance(kind, MapType) else None) or Leaf.ANY
        _merge_key(result, patch, key, child, f"{at}.{key}".lstrip("."))
    return result


def _named_in_directives(patch: KubeObject) -> list[str]:
    return [key.partition("/")[2] for key in patch if key.startswith((_ORDER, _DELETE))]


def _merge_key(result: KubeObject, patch: KubeObject, key: str, shape: MergeType, at: str) -> None:
    value = patch.get(key)
    if key in patch and value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        merged = _map(result.get(key), value, shape, at)
        if value.get(_PATCH) == "delete":
            result.pop(key, None)
        else:
            result[key] = merged
    elif isinstance(value, list) or key not in patch:
        _merge_list(result, patch, key, shape, at)
    else:
        result[key] = value


def _merge_list(result: KubeObject, patch: KubeObject, key: str, shape: MergeType, at: str) -> None:
    kind = resolved(shape, [])
    present, added = _listed(result.get(key)), patch.get(key)
    gone = _listed(patch.get(_DELETE + key))
    if not isinstance(kind, ListType) or kind.atomic or is_replaced_by_patch(at):
        if added is not None:
            result[key] = copy.deepcopy(added)
        return
    if kind.unique:
        kept = [item for item in present if item not in gone]
        merged = kept + [item for item in added or [] if item not in kept]
        name = ""
    else:
        name = kind.keys[0]
        merged = _entries(present, added or [], kind, at)
    result[key] = _in_order(merged, _listed(patch.get(_ORDER + key)), name)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def _known(item: Any, name: str) -> Any:
    return item.get(name) if name and isinstance(item, dict) else item


def _entries(present: list[Any], patch: list[Any], kind: ListType, at: str) -> list[Any]:
    name = kind.keys[0]
    if any(isinstance(item, dict) and item.get(_PATCH) == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if _PATCH not in item]
    result = list(present)
    for item in patch:
        if not isinstance(item, dict) or name not in item:
            raise bad_request(
                f"error decoding patch: map: {at}: does not contain declared merge key: {name}"
            )
        index = next((i for i, old in enumerate(result) if _known(old, name) == item[name]), None)
        if item.get(_PATCH) == "delete":
            result = [old for old in result if _known(old, name) != item[name]]
        elif index is None:
            result.append(_map({}, item, kind.item, at))
        else:
            result[index] = _map(result[index], item, kind.item, at)
    return result


def _in_order(items: list[Any], order: list[Any], name: str) -> list[Any]:
    """Entries the patch puts in order stand in that order; others stay where they were among them."""
    if not order:
        return items
    wanted = [_known(entry, name) for entry in order]
    ranked = sorted(
        (item for item in items if _known(item, name) in wanted),
        key=lambda item: wanted.index(_known(item, name)),
    )
    queue = iter(ranked)
    return [next(queue) if _known(item, name) in wanted else item for item in items]
