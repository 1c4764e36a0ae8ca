"""Which built-in kinds a server serves: those of resource.k8s.io in the versions it was told.

The server asks once, when it starts; how objects look under each version is `_versions`' matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pydra_testbed.api._kinds import BUILT_IN, RESOURCE, Kind

_TAINT_RULES = Kind(
    RESOURCE, "v1beta2", "devicetaintrules", "DeviceTaintRule", namespaced=False,
    subresources=("status",), has_generation=True, returns_deleted=True,
)  # fmt: skip

RESOURCE_VERSIONS = ("v1", "v1beta2", "v1beta1", "v1alpha3")
"""The versions of resource.k8s.io that a server can serve; Kubernetes 1.36 serves v1 alone unless told otherwise."""


def built_in(versions: Iterable[str] = ("v1",)) -> tuple[Kind, ...]:
    """The built-in kinds, those of resource.k8s.io under each of `versions`.

    Raises:
        ValueError: a version that resource.k8s.io does not have, or v1 left out.
    """
    wanted = set(versions)
    if "v1" not in wanted or not wanted <= set(RESOURCE_VERSIONS):
        raise ValueError(
            f"resource.k8s.io cannot be served as {sorted(wanted)}: v1 is needed, "
            f"the others are {', '.join(RESOURCE_VERSIONS[1:])}"
        )
    older = [version for version in RESOURCE_VERSIONS[1:] if version in wanted]
    return (*BUILT_IN, *(kind for version in older for kind in _older(version)))


def _older(version: str) -> Iterable[Kind]:
    """What an older version serves; its objects are stored in another version's form."""
    if version != "v1alpha3":
        for kind in BUILT_IN:
            if kind.group == RESOURCE:
                yield _served_as(kind, version)
    if version != "v1beta1":
        yield _served_as(_TAINT_RULES, version)


def _served_as(kind: Kind, version: str) -> Kind:
    if kind.version == version:
        return kind
    return replace(
        kind, version=version, storage=kind.qualified_plural, stored_version=kind.version
    )
