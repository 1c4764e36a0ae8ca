"""What kubectl and clients ask first: groups, versions, resources, the server's version and health."""

from __future__ import annotations

from pydra_testbed.api._kinds import STATUS_VERBS, Catalog, Kind
from pydra_testbed.objects import KubeObject

SERVED_VERSION = "v1.36.2"
_SUBRESOURCES = {
    "binding": ("", "v1", "Binding", ("create",)),
    "log": ("", "v1", "Pod", ("get",)),
    "scale": ("autoscaling", "v1", "Scale", STATUS_VERBS),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}
HEALTH_PATHS = frozenset({"/healthz", "/livez", "/readyz"})


def document(catalog: Catalog, path: str) -> KubeObject | None:
    """The discovery document at a path, None when the path is none."""
    parts = [part for part in path.split("/") if part]
    found: KubeObject | None = None
    match parts:
        case ["version"]:
            found = _version()
        case ["api"]:
            found = {"kind": "APIVersions", "versions": list(catalog.versions(""))}
        case ["apis"]:
            groups = [_group(catalog, group) for group in catalog.groups()]
            found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["api", version]:
            found = _resources(catalog, "", version)
        case ["apis", group] if group in catalog.groups():
            found = {"kind": "APIGroup", "apiVersion": "v1"} | _group(catalog, group)
        case ["apis", group, version]:
            found = _resources(catalog, group, version)
        case _:
            pass
    return found


def _version() -> KubeObject:
    major, minor = SERVED_VERSION.removeprefix("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{SERVED_VERSION}+pydra-testbed",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }


def _group(catalog: Catalog, group: str) -> KubeObject:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in catalog.versions(group)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resources(catalog: Catalog, group: str, version: str) -> KubeObject | None:
    kinds = catalog.of(group, version)
    if not kinds:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [entry for kind in kinds for entry in _entries(kind)],
    }


def _entries(kind: Kind) -> list[KubeObject]:
    main: KubeObject = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        main["shortNames"] = list(kind.short_names)
    if kind.categories:
        main["categories"] = list(kind.categories)
    return [main, *(_subresource(kind, name) for name in kind.subresources)]


def _subresource(kind: Kind, name: str) -> KubeObject:
    group, version, served = response_kind(kind, name)
    entry: KubeObject = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": served,
        "verbs": list(verbs_of(name)),
    }
    if (group, version) != (kind.group, kind.version):
        entry |= {"group": group, "version": version}
    return entry


def response_kind(kind: Kind, subresource: str) -> tuple[str, str, str]:
    """Group, version and kind of what a subresource takes and gives."""
    group, version, served, _ = _SUBRESOURCES.get(
        subresource, (kind.group, kind.version, kind.kind, ())
    )
    return group, version, served


def verbs_of(subresource: str) -> tuple[str, ...]:
    """What can be done with a subresource."""
    return _SUBRESOURCES[subresource][3] if subresource in _SUBRESOURCES else STATUS_VERBS
