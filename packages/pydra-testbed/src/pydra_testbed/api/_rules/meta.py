"""Object metadata: names, labels, annotations, owners, finalizers (all kinds)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydra_testbed.api._causes import Causes, all_invalid, forbidden, invalid, required, too_long
from pydra_testbed.api._godump import tagged
from pydra_testbed.api._names import dns_label, dns_subdomain, label_key, label_value, size
from pydra_testbed.api._shapes.meta import OBJECT_META, OWNER_REFERENCE
from pydra_testbed.objects import KubeObject

NameCheck = Callable[[str], list[str]]

_ANNOTATIONS_MAX = 256 * 1024
_TEMPLATED = ("labels", "annotations")
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def metadata(obj: KubeObject, *, namespaced: bool, name_check: NameCheck) -> Causes:
    """Metadata of a new object, its name generated already."""
    meta: KubeObject = obj.get("metadata", {})
    found: Causes = []
    name = meta.get("name", "")
    prefix = meta.get("generateName", "")
    if prefix:
        found += all_invalid("metadata.generateName", prefix, name_check(_as_prefix(prefix)))
    if name:
        found += all_invalid("metadata.name", name, name_check(name))
    else:
        found.append(required("metadata.name", "name or generateName is required"))
    found += _namespace(meta.get("namespace", ""), namespaced=namespaced)
    return found + labels_and_more(meta, "metadata")


def labels_and_more(meta: KubeObject, field: str) -> Causes:
    """What may change later: labels, annotations, owners, finalizers."""
    found = labels(f"{field}.labels", meta.get("labels"))
    found += _annotations(f"{field}.annotations", meta.get("annotations"))
    found += _owners(f"{field}.ownerReferences", meta.get("ownerReferences"))
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        found += _finalizer(f"{field}.finalizers", index, finalizer)
    return found


def metadata_update(new: KubeObject, old: KubeObject) -> Causes:
    """Metadata of a changed object; what the server owns was restored before."""
    meta = new.get("metadata", {})
    found: Causes = []
    before = set(old["metadata"].get("finalizers") or ())
    added = sorted(set(meta.get("finalizers") or ()) - before)
    if added and old["metadata"].get("deletionTimestamp"):
        listed = ", ".join(f'"{name}"' for name in added)
        detail = (
            "no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{listed}}}"
        )
        found.append(forbidden("metadata.finalizers", detail))
    return found + labels_and_more(meta, "metadata")


def template_metadata(meta: KubeObject, field: str) -> Causes:
    """Metadata that a template hands to the objects made from it."""
    found = _annotations(f"{field}.annotations", meta.get("annotations"))
    found += labels(f"{field}.labels", meta.get("labels"))
    return found + [
        forbidden(f"{field}.{name}", "cannot be set")
        for name in OBJECT_META.fields
        if name not in _TEMPLATED and (meta.get(name) or isinstance(meta.get(name), list))
    ]


def labels(field: str, mapping: dict[str, str] | None) -> Causes:
    found: Causes = []
    for key, value in (mapping or {}).items():
        found += all_invalid(field, key, label_key(key))
        found += all_invalid(field, value, label_value(value))
    return found


def _as_prefix(prefix: str) -> str:
    """A prefix may end where the random letters go on."""
    return f"{prefix[:-1]}a" if prefix.endswith("-") else prefix


def _namespace(namespace: str, *, namespaced: bool) -> Causes:
    if namespaced and not namespace:
        return [required("metadata.namespace")]
    if namespaced:
        return all_invalid("metadata.namespace", namespace, dns_label(namespace))
    return [forbidden("metadata.namespace", "not allowed on this type")] if namespace else []


def _annotations(field: str, mapping: dict[str, str] | None) -> Causes:
    mapping = mapping or {}
    found: Causes = []
    for key in mapping:
        found += all_invalid(field, key, label_key(key.lower()))
    if sum(size(key) + size(value) for key, value in mapping.items()) > _ANNOTATIONS_MAX:
        found.append(too_long(field, _ANNOTATIONS_MAX))
    return found


def _owners(field: str, owners: list[KubeObject] | None) -> Causes:
    found: Causes = []
    controllers: list[str] = []
    for owner in owners or ():
        found += _owner(field, owner)
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind', '')}/{owner.get('name', '')}")
    shown = [tagged(owner, OWNER_REFERENCE) for owner in owners or ()]
    found += [_second_controller(field, shown, controllers[0], name) for name in controllers[1:]]
    return found


def _owner(field: str, owner: KubeObject) -> Causes:
    version, kind = owner.get("apiVersion", ""), owner.get("kind", "")
    found: Causes = []
    if not version.rpartition("/")[2]:
        found.append(invalid(f"{field}.apiVersion", version, "version must not be empty"))
    found += [
        invalid(f"{field}.{name}", "", "must not be empty")
        for name in ("kind", "name", "uid")
        if not owner.get(name)
    ]
    if (version, kind) == ("v1", "Event"):
        detail = "/v1, Kind=Event is disallowed from being an owner"
        found.append(invalid(field, tagged(owner, OWNER_REFERENCE), detail))
    return found


def _second_controller(field: str, owners: Any, first: str, second: str) -> Any:
    detail = (
        "Only one reference can have Controller set to true. "
        f'Found "true" in references for {first} and {second}'
    )
    return invalid(field, owners, detail)


def _finalizer(field: str, index: int, name: str) -> Causes:
    found = all_invalid(field, name, label_key(name))
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        detail = "name is neither a standard finalizer name nor is it fully qualified"
        found.append(invalid(f"{field}[{index}]", name, detail))
    return found


def class_name(text: str) -> list[str]:
    """Names of DeviceClasses are measured by the newer check, which counts in bytes."""
    return dns_subdomain(text, "bytes")
