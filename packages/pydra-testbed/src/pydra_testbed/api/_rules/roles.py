"""Roles and their bindings (rbac.authorization.k8s.io/v1): what names whom, and what may not change."""

from __future__ import annotations

from functools import partial

from pydra_testbed.api._causes import Causes, invalid, not_supported, required
from pydra_testbed.api._context import Context
from pydra_testbed.api._godump import internal
from pydra_testbed.api._rules.lists import each
from pydra_testbed.api._rules.meta import metadata, metadata_update
from pydra_testbed.api._shapes.rbac import BINDING
from pydra_testbed.objects import KubeObject

_GROUP = "rbac.authorization.k8s.io"
_FORBIDDEN_NAMES = (".", "..")
_FORBIDDEN_PARTS = ("/", "%")


def path_segment(text: str) -> list[str]:
    """Names of roles: anything that can stand in a path."""
    if text in _FORBIDDEN_NAMES:
        return [f"may not be '{text}'"]
    return [f"may not contain '{part}'" for part in _FORBIDDEN_PARTS if part in text]


def new_role(obj: KubeObject, _context: Context, *, namespaced: bool) -> Causes:
    found = metadata(obj, namespaced=namespaced, name_check=path_segment)
    return found + _rules(obj, namespaced=namespaced)


def changed_role(
    new: KubeObject, old: KubeObject, _context: Context, *, namespaced: bool
) -> Causes:
    return metadata_update(new, old) + _rules(new, namespaced=namespaced)


def _rules(obj: KubeObject, *, namespaced: bool) -> Causes:
    return each("rules", obj.get("rules"), -1, partial(_rule, namespaced=namespaced))


def _rule(field: str, rule: KubeObject, *, namespaced: bool) -> Causes:
    found: Causes = []
    if not rule.get("verbs"):
        found.append(required(f"{field}.verbs", "verbs must contain at least one value"))
    urls, others = rule.get("nonResourceURLs"), ("apiGroups", "resources", "resourceNames")
    if urls and namespaced:
        detail = "namespaced rules cannot apply to non-resource URLs"
        found.append(invalid(f"{field}.nonResourceURLs", urls, detail))
    if urls and any(rule.get(name) for name in others):
        detail = "rules cannot apply to both regular resources and non-resource URLs"
        found.append(invalid(f"{field}.nonResourceURLs", urls, detail))
    if urls:
        return found
    if not rule.get("apiGroups"):
        detail = "resource rules must supply at least one api group"
        found.append(required(f"{field}.apiGroups", detail))
    if not rule.get("resources"):
        detail = "resource rules must supply at least one resource"
        found.append(required(f"{field}.resources", detail))
    return found


def new_binding(obj: KubeObject, _context: Context, *, namespaced: bool) -> Causes:
    found = metadata(obj, namespaced=namespaced, name_check=path_segment)
    return found + _binding(obj, namespaced=namespaced)


def changed_binding(
    new: KubeObject, old: KubeObject, _context: Context, *, namespaced: bool
) -> Causes:
    found = metadata_update(new, old) + _binding(new, namespaced=namespaced)
    if new.get("roleRef") != old.get("roleRef"):
        shown = internal(new.get("roleRef"), BINDING.fields["roleRef"].shape)
        found.append(invalid("roleRef", shown, "cannot change roleRef"))
    return found


def _binding(obj: KubeObject, *, namespaced: bool) -> Causes:
    ref = obj.get("roleRef") or {}
    kinds = ("ClusterRole", "Role") if namespaced else ("ClusterRole",)
    found: Causes = []
    if ref.get("apiGroup") != _GROUP:
        found.append(not_supported("roleRef.apiGroup", ref.get("apiGroup", ""), [_GROUP]))
    if ref.get("kind") not in kinds:
        found.append(not_supported("roleRef.kind", ref.get("kind", ""), kinds))
    if not ref.get("name"):
        found.append(required("roleRef.name"))
    return found + each(
        "subjects", obj.get("subjects"), -1, partial(_subject, namespaced=namespaced)
    )


def _subject(field: str, subject: KubeObject, *, namespaced: bool) -> Causes:
    found = [] if subject.get("name") else [required(f"{field}.name")]
    kind, group = subject.get("kind", ""), subject.get("apiGroup", "")
    if kind == "ServiceAccount":
        if group:
            found.append(not_supported(f"{field}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            found.append(required(f"{field}.namespace"))
    elif kind in {"User", "Group"}:
        if group != _GROUP:
            found.append(not_supported(f"{field}.apiGroup", group, [_GROUP]))
    else:
        found.append(not_supported(f"{field}.kind", kind, ["Group", "ServiceAccount", "User"]))
    return found


def binding_defaults(obj: KubeObject, _context: Context) -> None:
    """Users and groups belong to RBAC's own group."""
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in {"User", "Group"} and not subject.get("apiGroup"):
            subject["apiGroup"] = _GROUP
    ref = obj.get("roleRef")
    if ref and not ref.get("apiGroup"):
        ref["apiGroup"] = _GROUP
