"""What to write so that the API holds the desired slices: a pure function, tested by tables.

Rules: consumers use a pool only when all its slices carry its highest generation, so a change
to more than one slice moves all of them to the next; a change to one keeps it, and a slice that was merely
deleted is put back as it was. Order of devices is meaning: the scheduler tries them first to last. A device that
moves to another pool is never in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydra_core._api.pools import SELECTIONS

Body: TypeAlias = dict[str, Any]
Contents: TypeAlias = Sequence[Mapping[str, Any]]
"""What each slice of one pool shall hold, and which nodes reach it."""

_NAME_LENGTH = 253
_OURS = (*SELECTIONS, "devices", "sharedCounters")


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


def slice_name(pool: str, driver: str, index: int) -> str:
    """A stable name whose order is the slice's order: the scheduler sorts slices of a pool by name.

    Pools whose names hold a `/` get a digest, for the name of a slice cannot hold one.
    """
    stem, suffix = f"{pool}-{driver}", f"-{index:04x}"
    digest = hashlib.sha256(stem.encode()).hexdigest()[:16]
    if "/" in pool:
        stem = f"{stem.replace('/', '-')}-{digest}"
    if len(stem) + len(suffix) > _NAME_LENGTH:
        stem = stem[: _NAME_LENGTH - len(suffix) - 17].rstrip("-.") + "-" + digest
    return stem + suffix


def plan(
    existing: Iterable[Body],
    desired: Mapping[str, Contents | None],
    driver: str,
    owner: Owner | None,
    newest: Mapping[str, int] | None = None,
) -> list[Write]:
    """Return the fewest writes from `existing` to `desired`, in an order that is safe at each step.

    Args:
        existing: this driver's slices that are ours to write, as the API has them.
        desired: contents of each slice in order (`slice_contents`), by pool; None leaves a pool as it is. Pools that
            are not desired are deleted.
        driver: the driver's name.
        owner: the node; None for slices that belong to no node.
        newest: the highest generation this process has written to each pool, in case the API holds none any more.
    """
    pools: dict[str, list[Body]] = {}
    for body in existing:
        pools.setdefault(body["spec"]["pool"]["name"], []).append(body)
    writes = [Write("delete", e) for p, found in pools.items() if p not in desired for e in found]
    left = {pool: contents for pool, contents in desired.items() if contents is not None}
    first, order = _order({pool: pools.get(pool, []) for pool in left}, left)
    writes += [Write("delete", body) for body in first]
    gone = {body["metadata"]["name"] for body in first}
    for pool in order:
        found = pools.get(pool, [])
        least = max(
            [(newest or {}).get(pool, 0), *(e["spec"]["pool"]["generation"] for e in found)]
        )
        stay = [e for e in found if e["metadata"]["name"] not in gone]
        writes += plan_pool(pool, stay, left[pool], driver, owner, newest=least)
    return writes


def plan_pool(
    name: str,
    existing: Sequence[Body],
    contents: Contents,
    driver: str,
    owner: Owner | None,
    *,
    newest: int = 0,
) -> list[Write]:
    """Return the writes for one pool. `newest` is the highest generation it is known to have had."""
    by_name = {e["metadata"]["name"]: e for e in existing}
    wanted = {slice_name(name, driver, i): content for i, content in enumerate(contents)}
    kept = {n: e for n, e in by_name.items() if n in wanted and _keeps(e, wanted[n])}
    stale = [e for n, e in by_name.items() if n not in kept]
    generation = max([newest, *(e["spec"]["pool"]["generation"] for e in existing)], default=0)
    changed = {
        n for n, e in kept.items() if not _same(e["spec"], wanted[n]) or not _owned(e, owner)
    }
    if not _may_keep(generation, kept, changed, len(wanted)):
        generation += 1
    writes = [Write("delete", e) for e in stale]
    times = _times(existing)
    for each, untimed in wanted.items():
        content = _timed(untimed, times)
        pool = {"name": name, "generation": generation, "resourceSliceCount": len(wanted)}
        if each not in kept:
            writes.append(Write("create", _new(each, content, pool, owner, driver)))
        elif each in changed or kept[each]["spec"]["pool"] != pool:
            writes.append(Write("update", _updated(kept[each], content, pool, owner)))
    return writes


def _order(
    pools: Mapping[str, Sequence[Body]], desired: Mapping[str, Contents]
) -> tuple[list[Body], list[str]]:
    """The pools in an order in which each loses its devices before another gains them.

    Where two wait for each other, the slices that hold what moves must go first; they are returned too.
    """
    if len(desired) == 1:
        return [], list(desired)
    after = {pool: _names(contents) for pool, contents in desired.items()}
    before = {pool: _names(e["spec"] for e in bodies) for pool, bodies in pools.items()}
    losers: dict[str, set[str]] = {}
    for pool in desired:
        for name in before[pool] - after[pool]:
            losers.setdefault(name, set()).add(pool)
    moves = {p: {d for d in after[p] - before[p] if d in losers} for p in desired}
    waits = {p: {q for d in moves[p] for q in losers[d]} for p in desired}
    first: list[Body] = []
    order: list[str] = []
    left = dict.fromkeys(desired)
    while left:
        ready = [p for p in left if not waits[p] & left.keys()]
        if not ready:
            moving = {d for p in left for d in moves[p]}
            first = [e for p in left for e in pools[p] if (_names([e["spec"]]) - after[p]) & moving]
            ready = list(left)
        order += ready
        left = {p: None for p in left if p not in ready}
    return first, order


def _names(contents: Iterable[Mapping[str, Any]]) -> set[str]:
    return {device["name"] for content in contents for device in content.get("devices") or []}


def _may_keep(generation: int, kept: Mapping[str, Body], changed: set[str], count: int) -> bool:
    """Whether the pool's present generation stays true while the writes are under way."""
    if generation == 0:
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


def _keeps(body: Body, content: Mapping[str, Any]) -> bool:
    """A slice can be reused if nothing immutable about it is wrong: its node; name and pool are right."""
    kept: bool = body["spec"].get("nodeName") == content.get("nodeName")
    return kept


def _same(spec: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    return (
        [_untimed(device) for device in spec.get("devices") or []] == content.get("devices", [])
        and (spec.get("sharedCounters") or []) == content.get("sharedCounters", [])
        and all(spec.get(field) == content.get(field) for field in SELECTIONS)
    )


def _untimed(device: Mapping[str, Any]) -> Mapping[str, Any]:
    """The stored device without the times of its taints, which are the server's."""
    if not device.get("taints"):
        return device
    taints = [{k: v for k, v in taint.items() if k != "timeAdded"} for taint in device["taints"]]
    return {**device, "taints": taints}


def _times(existing: Iterable[Body]) -> Mapping[tuple[str, ...], str]:
    """Since when each device of the pool has each taint."""
    return {
        (device["name"], *_identity(taint)): taint["timeAdded"]
        for body in existing
        for device in body["spec"].get("devices") or []
        for taint in device.get("taints") or []
        if "timeAdded" in taint
    }


def _timed(content: Mapping[str, Any], times: Mapping[tuple[str, ...], str]) -> Mapping[str, Any]:
    """The content with the times of taints that stay: sent without, they would begin anew at each write.

    A pod that tolerates NoExecute for some time is evicted when that has passed since the taint's time.
    """
    if not times or "devices" not in content:
        return content
    devices = [
        {**device, "taints": [_since(times, device["name"], t) for t in device["taints"]]}
        if "taints" in device
        else device
        for device in content["devices"]
    ]
    return {**content, "devices": devices}


def _since(
    times: Mapping[tuple[str, ...], str], device: str, taint: Mapping[str, str]
) -> Mapping[str, str]:
    time = times.get((device, *_identity(taint)))
    return {**taint, "timeAdded": time} if time else taint


def _identity(taint: Mapping[str, str]) -> tuple[str, ...]:
    return (taint["key"], taint.get("value", ""), taint.get("effect", ""))


def _owned(body: Body, owner: Owner | None) -> bool:
    """A node re-created under its old name has a new UID, and the collector would take slices of the old one.

    Of slices without a node the owner is nobody's business but the administrator's.
    """
    references = body["metadata"].get("ownerReferences") or []
    return owner is None or [r.get("uid") for r in references] == [owner.uid]


def _owners(owner: Owner | None) -> Body:
    if owner is None:
        return {}
    reference = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
    }
    return {"ownerReferences": [reference]}


def _new(
    name: str, content: Mapping[str, Any], pool: Body, owner: Owner | None, driver: str
) -> Body:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": name, **_owners(owner)},
        "spec": {"driver": driver, "pool": pool, **content},
    }


def _updated(body: Body, content: Mapping[str, Any], pool: Body, owner: Owner | None) -> Body:
    spec = {k: v for k, v in body["spec"].items() if k not in _OURS}
    metadata = {**body["metadata"], **_owners(owner)}
    return {**body, "metadata": metadata, "spec": {**spec, "pool": pool, **content}}
