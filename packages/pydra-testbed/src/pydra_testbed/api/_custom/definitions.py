"""Definitions in the store become kinds that are served; made and kept by the server.

What Kubernetes does in controllers (accepting names, establishing, cleaning up) happens here at once, as
writes of their own: watchers see a definition appear, and then become established.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._custom.version import version_of
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._removal import DeleteOptions, delete, finish
from pydra_testbed.api._store import Bucket, Change
from pydra_testbed.objects import KubeObject

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


class Definitions:
    """The custom kinds of one server."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._bucket = core.store.bucket(DEFINITIONS)
        self._bucket.observers.append(self._changed)

    def _changed(self, change: Change) -> None:
        if change.after is None:
            if change.before is not None:
                self._core.catalog.withdraw(change.before.key[1])
            return
        obj = change.after.decode()
        if obj["metadata"].get("deletionTimestamp"):
            self._clean_up(obj)
            return
        status = self._status(obj)
        if (obj.get("status") or {}) != status or CLEANUP not in _finalizers(obj):
            obj["metadata"]["finalizers"] = [*_without_cleanup(obj), CLEANUP]
            self._core.store.put(self._bucket, obj | {"status": status})
            return
        self._serve(obj)

    def _status(self, obj: KubeObject) -> KubeObject:
        """Names accepted and established, unless somebody else has the names."""
        spec, status = obj["spec"], obj.get("status") or {}
        taken = self._taken(obj)
        stored = next(entry["name"] for entry in spec["versions"] if entry.get("storage"))
        versions = list(dict.fromkeys((*(status.get("storedVersions") or ()), stored)))
        now = self._core.now()
        accepted = ("False", taken, "is already in use") if taken else _ACCEPTED
        wanted = [
            _condition("NamesAccepted", *accepted),
            _condition("Established", *(_NOT_ESTABLISHED if taken else _ESTABLISHED)),
        ]
        return {
            "conditions": _kept(status.get("conditions") or [], wanted, now),
            "acceptedNames": {"kind": "", "plural": ""} if taken else spec["names"],
            "storedVersions": versions,
        }

    def _taken(self, obj: KubeObject) -> str:
        """Why the names cannot be had; empty when they can."""
        spec, name = obj["spec"], obj["metadata"]["name"]
        for kind in self._core.catalog.kinds:
            if kind.group != spec["group"] or kind.owner == name:
                continue
            if kind.plural == spec["names"]["plural"]:
                return "PluralConflict"
            if kind.kind == spec["names"]["kind"]:
                return "KindConflict"
        return ""

    def _serve(self, obj: KubeObject) -> None:
        name = obj["metadata"]["name"]
        self._core.catalog.withdraw(name)
        if not any(_is_true(entry, "Established") for entry in obj["status"]["conditions"]):
            return
        kinds = tuple(_kinds(obj))
        self._core.catalog.add(kinds)
        for kind in kinds:
            if not self._core.store.has_bucket(kind.bucket):
                self._core.store.add_bucket(kind.bucket, kind.selectable.values())
                self._core.bucket(kind).observers.append(lambda _: self._emptied(name))

    def _clean_up(self, obj: KubeObject) -> None:
        """Its objects go first; the definition when none of them is left."""
        for kind in _kinds(obj):
            if self._core.store.has_bucket(kind.bucket):
                for stored in self._core.bucket(kind).ordered():
                    delete(self._core, Target(kind, *stored.key), DeleteOptions())
        self._emptied(obj["metadata"]["name"])

    def _emptied(self, name: str) -> None:
        stored = self._bucket.objects.get(("", name))
        if stored is None or not self._is_unused(name):
            return
        obj = stored.decode()
        if not obj["metadata"].get("deletionTimestamp") or CLEANUP not in _finalizers(obj):
            return
        others = _without_cleanup(obj)
        kind = self._core.catalog.named(DEFINITIONS)
        if others or kind is None:
            obj["metadata"]["finalizers"] = others
            self._core.store.put(self._bucket, obj)
        else:
            finish(self._core, kind, obj)

    def _is_unused(self, name: str) -> bool:
        return not self._core.store.has_bucket(name) or not self._custom(name).objects

    def _custom(self, name: str) -> Bucket:
        """The storage of a definition's objects carries its name."""
        return self._core.store.bucket(name)


_ACCEPTED = ("True", "NoConflicts", "no conflicts found")
_ESTABLISHED = ("True", "InitialNamesAccepted", "the initial names have been accepted")
_NOT_ESTABLISHED = ("False", "NotAccepted", "not all names are accepted")


def _kinds(obj: KubeObject) -> Iterator[Kind]:
    """The kinds of a definition, the stored version first."""
    spec, names = obj["spec"], obj["spec"]["names"]
    served = [entry for entry in spec["versions"] if entry.get("served")]
    for entry in sorted(served, key=lambda entry: not entry.get("storage")):
        yield Kind(
            spec["group"], entry["name"], names["plural"], names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=tuple(sorted(entry.get("subresources") or ())),
            selectable=_selectable(entry),
            has_generation=True,
            unconditional_update=False,
            definition=version_of(entry),
            owner=obj["metadata"]["name"],
        )  # fmt: skip


def _selectable(entry: Mapping[str, Any]) -> dict[str, str]:
    paths = [str(field["jsonPath"]).lstrip(".") for field in entry.get("selectableFields") or ()]
    return {path: path for path in paths}


def _finalizers(obj: KubeObject) -> list[str]:
    return list(obj["metadata"].get("finalizers") or ())


def _without_cleanup(obj: KubeObject) -> list[str]:
    return [name for name in _finalizers(obj) if name != CLEANUP]


def _condition(kind: str, status: str, reason: str, message: str) -> KubeObject:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _is_true(entry: KubeObject, kind: str) -> bool:
    return (entry["type"], entry["status"]) == (kind, "True")


def _kept(before: list[KubeObject], wanted: list[KubeObject], now: str) -> list[KubeObject]:
    """Conditions keep their time while they stay as they are."""
    times = {
        (entry["type"], entry["status"]): entry.get("lastTransitionTime", now) for entry in before
    }
    return [
        entry | {"lastTransitionTime": times.get((entry["type"], entry["status"]), now)}
        for entry in wanted
    ]
