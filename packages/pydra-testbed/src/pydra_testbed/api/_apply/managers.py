"""Managers and what they own: the arithmetic of update and apply.

After structured-merge-diff `merge` and apimachinery `managedfields`. Pure: `ownership` and `operation` decide
what is compared and store the outcome.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pydra_testbed.api._apply.merging import merged
from pydra_testbed.api._apply.paths import NONE, Path, Paths, from_fields, named, ordered, to_fields
from pydra_testbed.api._apply.typed import difference, fields_of, with_holders, without
from pydra_testbed.api._apply.types import MergeType
from pydra_testbed.objects import KubeObject

UPDATE, APPLY = "Update", "Apply"
_ENTRIES_MAX = 10


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes: a program's name, how it writes, in which version, through which subresource."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """An applier is the same in every version."""
        version = self.api_version if self.operation == UPDATE else ""
        return (self.name, self.operation, version, self.subresource)

    def shown(self) -> str:
        """As conflicts name it."""
        text = json.dumps(self.name, ensure_ascii=False)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True, slots=True)
class Owned:
    """A manager's fields, and when it last changed something (empty: it never did)."""

    manager: Manager
    fields: Paths
    time: str = ""


Ownership: TypeAlias = dict[tuple[str, str, str, str], Owned]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that somebody else owns with another value."""

    manager: Manager
    path: Path


class ConflictError(Exception):
    """An apply without force meets fields of others."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = conflicts


@dataclass(frozen=True, slots=True)
class Writing:
    """One write: who, when, and the top-level field it cannot change, or the only one that it can."""

    manager: Manager
    time: str
    ignored: str = ""
    only: str = ""

    def effective(self, paths: Iterable[Path]) -> Paths:
        """What of a set this write can own."""
        ignored, only = named(self.ignored), named(self.only)
        return (
            frozenset(
                path
                for path in paths
                if path and path[0] != ignored and (not self.only or path[0] == only)
            )
            - _STRIPPED
        )


def updated(
    owners: Ownership, old: KubeObject, new: KubeObject, shape: MergeType, writing: Writing
) -> Ownership:
    """After a write of any kind but apply: what it changed is the writer's."""
    changes = difference(old, new, shape)
    taken = writing.effective(changes.added | changes.modified)
    found = _minus(owners, writing.effective(changes.everything))
    if taken:
        key = writing.manager.identity
        mine = found[key].fields if key in found else NONE
        found[key] = Owned(writing.manager, taken | mine, writing.time)
    return _capped(found)


@dataclass(frozen=True, slots=True)
class Application:
    """One apply: what is applied, and whether fields of others are taken."""

    writing: Writing
    config: KubeObject
    force: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of an apply: the object, None when nothing in it changes, and who owns what."""

    object: KubeObject | None
    owners: Ownership


def applied(
    owners: Ownership, live: KubeObject, shape: MergeType, application: Application
) -> Applied:
    """Merge a configuration into the live object, give up what it no longer names.

    Raises:
        ConflictError: others own fields that it changes, and it does not force.
    """
    writing = application.writing
    key = writing.manager.identity
    last = owners[key] if key in owners else Owned(writing.manager, NONE)
    named_now = frozenset(fields_of(application.config, shape))
    mine = writing.effective(named_now)
    claimed = owners | {key: Owned(writing.manager, named_now, last.time)}
    target: KubeObject = merged(live, application.config, shape)
    if last.fields:
        target = _pruned(target, shape, last.fields, claimed)
    changes = difference(live, target, shape)
    others = {identity: owned for identity, owned in owners.items() if identity != key}
    conflicts = _conflicts(others, writing.effective(changes.added | changes.modified))
    if conflicts and not application.force:
        raise ConflictError(conflicts)
    found = _minus(others, writing.effective(changes.everything))
    is_changed = target != live
    if mine:
        found[key] = Owned(writing.manager, mine, writing.time if is_changed else last.time)
    return Applied(target if is_changed else None, found)


def _minus(owners: Ownership, gone: Paths) -> Ownership:
    """Without some fields; a manager who has none left is forgotten."""
    left = {key: replace(owned, fields=owned.fields - gone) for key, owned in owners.items()}
    return {key: owned for key, owned in left.items() if owned.fields}


def _pruned(target: KubeObject, shape: MergeType, last: Paths, owners: Ownership) -> KubeObject:
    """Without the fields that the applier named last time and nobody owns now."""
    there = with_holders(frozenset(fields_of(target, shape)), shape)
    given_up = with_holders(last, shape)
    bare = without(target, shape, given_up)
    left = with_holders(frozenset(fields_of(bare, shape)), shape)
    owned = with_holders(NONE.union(*(owner.fields for owner in owners.values())), shape)
    kept = without(target, shape, there - (left | owned))
    left = with_holders(frozenset(fields_of(kept, shape)), shape)
    result: KubeObject = without(target, shape, (there - left) & given_up)
    return result


def _conflicts(others: Ownership, changed: Paths) -> tuple[Conflict, ...]:
    return tuple(
        Conflict(owned.manager, path)
        for _, owned in sorted(others.items())
        for path in ordered(owned.fields & changed)
    )


_STRIPPED: Paths = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
            "managedFields", "resourceVersion",
        )
    }
)  # fmt: skip
"""Fields that nobody owns: they name the object, or only the server writes them."""


def _capped(owners: Ownership) -> Ownership:
    """Ten updaters at most: the oldest become one."""
    updaters = sorted(
        (owned for owned in owners.values() if owned.manager.operation == UPDATE),
        key=lambda owned: (owned.time, owned.manager.name),
    )
    if len(updaters) <= _ENTRIES_MAX:
        return owners
    surplus = updaters[: len(updaters) - _ENTRIES_MAX + 1]
    gone = {owned.manager.identity for owned in surplus}
    found = {key: owned for key, owned in owners.items() if key not in gone}
    ancient = Manager("ancient-changes", UPDATE, surplus[-1].manager.api_version)
    fields = NONE.union(*(owned.fields for owned in surplus))
    return found | {ancient.identity: Owned(ancient, fields, surplus[-1].time)}


def decoded(entries: Iterable[Any]) -> Ownership:
    """Read `metadata.managedFields`; entries of another form are left out."""
    found: Ownership = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or entry.get("operation") not in {UPDATE, APPLY}:
            continue
        manager = Manager(
            str(entry.get("manager") or "unknown"),
            str(entry["operation"]),
            str(entry.get("apiVersion", "")),
            str(entry.get("subresource", "")),
        )
        fields = frozenset(from_fields(entry.get("fieldsV1") or {}))
        found[manager.identity] = Owned(manager, fields, str(entry.get("time") or ""))
    return found


def encoded(owners: Ownership) -> list[KubeObject]:
    """Write `metadata.managedFields`, in Kubernetes' order."""
    return [_entry(owned) for owned in sorted(owners.values(), key=_rank)]


def _rank(owned: Owned) -> tuple[str, str, str, str, str]:
    manager = owned.manager
    return (manager.operation, owned.time, manager.name, manager.api_version, manager.subresource)


def _entry(owned: Owned) -> KubeObject:
    manager = owned.manager
    entry: KubeObject = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
    }
    if owned.time:
        entry["time"] = owned.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": to_fields(owned.fields)}
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry
