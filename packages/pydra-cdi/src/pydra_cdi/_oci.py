"""An OCI runtime spec as a dict that is safe to change: a copy, with its shape checked where touched.

`injection` makes one for each call, `_apply` changes it. `null` counts as absent, as in Go.
"""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from pydra_cdi._shape import describe
from pydra_cdi.errors import InjectionError

_WORDS: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}


class OciSpec:
    """Holds the copy in `spec`.

    Raises:
        InjectionError: The OCI spec, or a part of it that is needed, is not of the type OCI gives it.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec: dict[str, Any] = {name: _copy(value) for name, value in spec.items()}

    def member(self, *path: str) -> dict[str, Any]:
        """Get an object, made if absent."""
        here = self.spec
        for depth, name in enumerate(path, 1):
            if here.get(name) is None:
                here[name] = _new(path[:depth])
            here = _typed(here[name], dict, path[:depth])
        return here

    def items(self, *path: str) -> list[Any]:
        """Get a list, made if absent."""
        parent = self.member(*path[:-1])
        if parent.get(path[-1]) is None:
            parent[path[-1]] = []
        found: list[Any] = _typed(parent[path[-1]], list, path)
        return found

    def peek(self, *path: str) -> Any:
        """Get whatever lies at a path, None when there is nothing; changes nothing."""
        here: Any = self.spec
        for depth, name in enumerate(path):
            here = _typed(here, dict, path[:depth]).get(name)
            if here is None:
                return None
        return here

    def in_user_namespace(self) -> bool:
        """Tell whether the container has a user namespace of its own."""
        namespaces = _typed(self.peek("linux", "namespaces") or [], list, ("linux", "namespaces"))
        return any(text(one, "type", "linux.namespaces") == "user" for one in namespaces)


class KeyedList:
    """A list of an OCI spec whose members are told apart by one text field; its shape is checked once."""

    def __init__(self, items: list[Any], key: str, where: str) -> None:
        self._items, self._key = items, key
        self._known = {text(item, key, where) for item in items}

    def append(self, new: dict[str, Any]) -> list[int]:
        """Append a member; or, if some have its key, give their places and leave the list as it is."""
        key = self._key
        wanted = new[key]
        if wanted not in self._known:
            self._known.add(wanted)
            self._items.append(new)
            return []
        return [index for index, item in enumerate(self._items) if item.get(key) == wanted]


def sort_mounts(mounts: list[Any]) -> None:
    """Order mounts by the depth of their destination, so that none hides one made before; ties stay."""
    mounts.sort(key=lambda mount: _depth(text(mount, "destination", "mounts")))


def text(member: Any, name: str, where: str) -> str:
    """Get a string of a list's member; empty when absent."""
    value = _typed(member, dict, (where, "[]")).get(name) or ""
    found: str = _typed(value, str, (where, "[]", name))
    return found


def _copy(value: Any) -> Any:
    """Copy what JSON knows quickly, and the rest as it wants to be copied."""
    kind = type(value)
    if kind is dict:
        return {name: _copy(member) for name, member in value.items()}
    if kind is list:
        return [_copy(item) for item in value]
    return value if kind in _ATOMS else copy.deepcopy(value)


_ATOMS = frozenset({str, int, float, bool, type(None)})


def _new(path: tuple[str, ...]) -> dict[str, Any]:
    if path == (
        "process",
    ):  # what OCI requires of a process; the caller gave none, so nothing is known
        return {"user": {"uid": 0, "gid": 0}, "cwd": ""}
    return {}


def _typed(value: Any, wanted: type, path: Iterable[str]) -> Any:
    if isinstance(value, wanted):
        return value
    where = ".".join(path) or "the whole"
    message = f"OCI spec: {where} is {describe(value)} where {_WORDS[wanted]} belongs"
    raise InjectionError(f"{message}; correct the container's config.json")


def _depth(destination: str) -> int:
    clean = posixpath.normpath(destination)
    return clean.removeprefix("/").count("/") + 1 if clean.startswith("/") else clean.count("/")
