"""What to write so that the API holds the desired slices: a pure function, tested by tables.

Rules: consumers use a pool only when all its slices carry its highest generation, so a change
to more than one slice moves all of them to the next; a change to one keeps it, and a slice that was merely
deleted is put back as it was. Order of devices is meaning: the scheduler tries them first to last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Body: TypeAlias = dict[str, Any]

_NAME_LENGTH = 253


@dataclass(frozen=True, slots=True)
class Owner:
    """The node that owns the slices: they are garbage-collected with it."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Write:
    """One call to make: `create`, `update` or `delete`; `body` is the object to send or to delete."""

    verb: str
    body: Body


def slice_name(owner: Owner, driver: str, index: int) -> str:
    """A stable name whose order is the slice's order: the scheduler sorts slices of a pool by name."""
    stem, suffix = f"{owner.name}-{driver}", f"-{index:04x}"
    if len(stem) + len(suffix) > _NAME_LENGTH:
        digest = hashlib.sha256(stem.encode()).hexdigest()[:16]
        stem = stem[: _NAME_LENGTH - len(suffix) - 17].rstrip("-.") + "-" + digest
    return stem + suffix


def plan(
    existing: Sequence[Body],
    desired: Sequence[Mapping[str, Any]],
    owner: Owner,
    driver: str,
    *,
    newest: int = 0,
) -> list[Write]:
    """Return the fewest writes from `existing` to `desired`, in an order that is safe at each step.

    Args:
        existing: this driver's slices of this node as the API has them.
        desired: contents of each slice in order (`slice_contents`).
        owner: the node.
        driver: the driver's name.
        newest: the highest generation this process has written, in case the API holds none any more.
    """
    by_name = {e["metadata"]["name"]: e for e in existing}
    wanted = {slice_name(owner, driver, i): content for i, content in enumerate(desired)}
    stale = [e for name, e in by_name.items() if not _keeps(e, name in wanted, owner)]
    kept = {n: e for n, e in by_name.items() if n in wanted and _keeps(e, True, owner)}
    generation = max([newest, *(e["spec"]["pool"]["generation"] for e in existing)], default=0)
    changed = {
        n for n, e in kept.items() if not _same(e["spec"], wanted[n]) or not _owned(e, owner)
    }
    if not _may_keep(generation, kept, changed, len(wanted), stale):
        generation += 1
    writes = [Write("delete", e) for e in stale]
    for name, content in wanted.items():
        pool = {"name": owner.name, "generation": generation, "resourceSliceCount": len(wanted)}
        if name not in kept:
            writes.append(Write("create", _new(name, content, pool, owner, driver)))
        elif name in changed or kept[name]["spec"]["pool"] != pool:
            writes.append(Write("update", _updated(kept[name], content, pool, owner)))
    return writes


def _may_keep(
    generation: int, kept: Mapping[str, Body], changed: set[str], count: int, stale: Sequence[Body]
) -> bool:
    """Whether the pool's present generation stays true while the writes are under way."""
    if generation == 0 or stale:
        return False
    uniform = all(
        e["spec"]["pool"]["generation"] == generation
        and e["spec"]["pool"]["resourceSliceCount"] == count
        for e in kept.values()
    )
    missing = count - len(kept)
    return (
        uniform
        and bool(kept or not missing)
        and (not changed or (len(changed) == 1 and not missing))
    )


def _keeps(body: Body, wanted: bool, owner: Owner) -> bool:  # noqa: FBT001 (a predicate over both)
    """A slice is reused if its name is wanted and nothing immutable about it is wrong."""
    spec = body["spec"]
    return wanted and spec.get("nodeName") == owner.name and spec["pool"]["name"] == owner.name


def _same(spec: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    devices = [
        _comparable(d, w)
        for d, w in zip(spec.get("devices") or [], content.get("devices", []), strict=False)
    ]
    return (
        len(spec.get("devices") or []) == len(content.get("devices", []))
        and devices == content.get("devices", [])
        and (spec.get("sharedCounters") or []) == content.get("sharedCounters", [])
    )


def _comparable(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The stored device without the times the server sets on taints that were sent without one."""
    if not stored.get("taints"):
        return stored
    timed = {t["key"]: "timeAdded" in t for t in wanted.get("taints", [])}
    taints = [
        {k: v for k, v in t.items() if k != "timeAdded" or timed.get(t["key"], False)}
        for t in stored["taints"]
    ]
    return {**stored, "taints": taints}


def _owned(body: Body, owner: Owner) -> bool:
    """A node re-created under its old name has a new UID, and the collector would take slices of the old one."""
    return [r.get("uid") for r in body["metadata"].get("ownerReferences") or []] == [owner.uid]


def _references(owner: Owner) -> list[Body]:
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "name": owner.name,
            "uid": owner.uid,
            "controller": True,
        }
    ]


def _new(name: str, content: Mapping[str, Any], pool: Body, owner: Owner, driver: str) -> Body:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": name, "ownerReferences": _references(owner)},
        "spec": {"driver": driver, "nodeName": owner.name, "pool": pool, **content},
    }


def _updated(body: Body, content: Mapping[str, Any], pool: Body, owner: Owner) -> Body:
    spec = {k: v for k, v in body["spec"].items() if k not in ("devices", "sharedCounters")}
    metadata = {**body["metadata"], "ownerReferences": _references(owner)}
    return {**body, "metadata": metadata, "spec": {**spec, "pool": pool, **content}}
