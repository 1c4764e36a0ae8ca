"""Compares what the testbed answered with a recorded transcript, where a server makes names, times and versions.

A recording calls resourceVersions `rvN` and uids `uid-N` in order of appearance, times `T+Ns`. `Names` learns
which of the testbed's stands for which. Called by `ssa_compute`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TIME = re.compile(r"T\+\d+s")
_NAME = re.compile(r"\b(rv|uid-)\d+\b")
_MADE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_IDENTITIES = ("resourceVersion", "uid")
_PROJECTED = ("deletionTimestamp", "finalizers", "generation", "labels", *_IDENTITIES)


class Names:
    """The testbed's versions and uids by their recorded names."""

    def __init__(self) -> None:
        self._actual: dict[str, str] = {}

    def learn(self, recorded: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
        """Names that appear here for the first time mean what the testbed has in their place."""
        theirs, ours = recorded.get("metadata") or {}, actual.get("metadata") or {}
        for field in _IDENTITIES:
            name, value = theirs.get(field), ours.get(field)
            if not isinstance(name, str) or not _NAME.fullmatch(name) or value is None:
                continue
            if value not in self._actual.values():
                self._actual.setdefault(name, value)

    def spelled(self, value: Any) -> Any:
        """The recorded value with the testbed's names in it."""
        if isinstance(value, str):
            return _NAME.sub(lambda found: self._actual.get(found[0], found[0]), value)
        if isinstance(value, list):
            return [self.spelled(item) for item in value]
        if isinstance(value, dict):
            return {key: self.spelled(item) for key, item in value.items()}
        return value


def differences(recorded: Any, actual: Any, at: str = "") -> Iterator[str]:
    """One line for each place where two values differ; times the server makes only have to be times."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        for key in sorted(recorded.keys() | actual.keys()):
            here = f"{at}.{key}".lstrip(".")
            if key not in actual:
                yield f"{here}: missing, recorded: {recorded[key]!r}"
            elif key not in recorded:
                yield f"{here}: {actual[key]!r}, recorded: nothing"
            else:
                yield from differences(recorded[key], actual[key], here)
    elif isinstance(recorded, list) and isinstance(actual, list) and len(recorded) == len(actual):
        for index, (theirs, ours) in enumerate(zip(recorded, actual, strict=True)):
            yield from differences(theirs, ours, f"{at}[{index}]")
    elif not _alike(recorded, actual):
        yield f"{at}: {actual!r}, recorded: {recorded!r}"


def _alike(recorded: Any, actual: Any) -> bool:
    if isinstance(recorded, str) and _TIME.fullmatch(recorded):
        return isinstance(actual, str) and _MADE.fullmatch(actual) is not None
    return type(recorded) is type(actual) and bool(recorded == actual)


def projected(event: Mapping[str, Any]) -> dict[str, Any]:
    """A watch event as recordings keep it: identity, spec, status and who manages."""
    obj = event["object"]
    meta = obj["metadata"]
    return {
        "type": event["type"],
        "object": {
            "metadata": {name: meta[name] for name in _PROJECTED if name in meta},
            "spec": obj.get("spec"),
            "status": obj.get("status"),
            "managers": [
                [entry["manager"], entry["operation"], entry.get("subresource")]
                for entry in meta.get("managedFields") or ()
            ],
        },
    }


def without_type(status: Mapping[str, Any]) -> dict[str, Any]:
    """A Status as recordings keep it."""
    return {
        key: value for key, value in status.items() if key not in {"kind", "apiVersion", "metadata"}
    }
