"""From a URL path to what it is about, as Kubernetes' RequestInfo does."""

from __future__ import annotations

from dataclasses import dataclass

from pydra_testbed.api._core import Target
from pydra_testbed.api._kinds import Catalog
from pydra_testbed.api._problems import no_such_path

_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class Place:
    """A path taken apart: group, version, and the rest below it."""

    group: str
    version: str
    rest: tuple[str, ...]


def place_of(path: str) -> Place | None:
    """The API part of a path; None for paths outside `/api` and `/apis`."""
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api", version, *rest]:
            return Place("", version, tuple(rest))
        case ["apis", group, version, *rest]:
            return Place(group, version, tuple(rest))
        case _:
            return None


def target_of(catalog: Catalog, place: Place) -> Target:
    """What a resource path names.

    Raises:
        ApiStatusError: 404, no such kind or subresource.
    """
    namespace, rest = _namespace(place.rest)
    plural, name, subresource = (*rest, "", "", "")[:3]
    kind = catalog.at(place.group, place.version, plural)
    if kind is None or len(rest) > 3:  # noqa: PLR2004 -- plural, name, subresource
        raise no_such_path()
    if subresource and subresource not in kind.subresources:
        raise no_such_path()
    if namespace and not kind.namespaced:
        raise no_such_path()
    return Target(kind, namespace, name, subresource)


def _namespace(rest: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """`namespaces/x/pods` is in a namespace, `namespaces/x` and its subresources are the namespace."""
    match rest:
        case ("namespaces", _, subresource) if subresource in _NAMESPACE_SUBRESOURCES:
            return "", rest
        case ("namespaces", namespace, _, *_):
            return namespace, rest[2:]
        case _:
            return "", rest
