"""All of discovery in one answer (apidiscovery.k8s.io/v2), which kubectl asks for first."""

from __future__ import annotations

from pydra_testbed.api._discovery import response_kind, verbs_of
from pydra_testbed.api._kinds import Catalog, Kind
from pydra_testbed.objects import KubeObject

MEDIA = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def wants_aggregated(accept: str) -> bool:
    """Whether an Accept header names the form that is served."""
    return any("".join(part.split()) == MEDIA for part in accept.split(","))


def aggregated(catalog: Catalog, path: str) -> KubeObject | None:
    """Groups with versions and resources, at `/api` the core group and at `/apis` the others."""
    groups = {"/api": ("",), "/apis": catalog.groups()}.get(path.rstrip("/"))
    if groups is None:
        return None
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_group(catalog, group) for group in groups],
    }


def _group(catalog: Catalog, group: str) -> KubeObject:
    versions = [
        {
            "version": version,
            "resources": [_resource(kind) for kind in catalog.of(group, version)],
            "freshness": "Current",
        }
        for version in catalog.versions(group)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _resource(kind: Kind) -> KubeObject:
    entry: KubeObject = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [_subresource(kind, name) for name in kind.subresources]
    return entry


def _subresource(kind: Kind, name: str) -> KubeObject:
    group, version, served = response_kind(kind, name)
    return {
        "subresource": name,
        "responseKind": {"group": group, "version": version, "kind": served},
        "verbs": list(verbs_of(name)),
    }
