"""Generated names and UIDs, told by their part in the story; and records under other names.

Random suffixes and UIDs differ from run to run. Both sides are brought to one form: a generated pod is numbered
in the order of appearance, a generated claim is known by its prefix, a UID by the name of its owner.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydra_testbed.fidelity.model import Record
from pydra_testbed.objects import KubeObject, name_of, uid_of

_POD = re.compile(r"<pod\d+>")
_RANDOM = re.compile(r"<rand\d+>")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_GENERATED = "<generated>"


class Names:
    """Real names of a run to those of its story, which numbers its generated pods and knows UIDs of its own."""

    def __init__(self, timeline: list[KubeObject]) -> None:
        self._recorded = pod_numbers(timeline)
        self._ghosts = _uids(timeline)
        self._pods: dict[str, str] = {}
        self._claims: dict[str, str] = {}
        self._uids: dict[str, str] = {}

    def note(self, resource: str, obj: KubeObject) -> None:
        """Learn of an object that appeared."""
        metadata = obj["metadata"]
        prefix = metadata.get("generateName", "")
        name = name_of(obj)
        if resource == "pods":
            if prefix and name not in self._pods:
                self._pods[name] = f"{prefix}<pod {len(self._pods) + 1}>"
            self._uids[uid_of(obj)] = self._pods.get(name, name)
        elif resource == "resourceclaims" and prefix:
            self._claims[name] = self.told(prefix) + _GENERATED

    def told(self, text: str) -> str:
        """A text with every real name and UID replaced."""
        text = self._ghosts.get(text, text)
        for real, name in (*self._claims.items(), *self._pods.items(), *self._uids.items()):
            text = text.replace(real, name)
        return _TIME.sub("<time>", text)

    def value(self, value: Any) -> Any:
        """The same for every text in a JSON value."""
        return _mapped(value, self.told)

    def actual(self, resource: str, name: str) -> str:
        """The real name for a recorded one; a name that nobody generated is its own."""
        if resource == "pods":
            known, wanted = self._pods, self._recorded.get(name, name)
        else:
            known, wanted = self._claims, _RANDOM.sub(_GENERATED, name)
        return next((real for real, told in known.items() if told == wanted), name)


def pod_numbers(timeline: list[KubeObject]) -> dict[str, str]:
    """Recorded names of generated pods to their numbered form."""
    names = dict.fromkeys(
        e["name"]
        for e in timeline
        if e.get("kind") == "Pod" and e.get("event") == "ADDED" and _POD.search(e["name"])
    )
    return {name: _POD.sub(f"<pod {number}>", name) for number, name in enumerate(names, start=1)}


def canonical(timeline: list[KubeObject], final: KubeObject) -> tuple[list[KubeObject], KubeObject]:
    """A recording's events and end in the common form."""
    pods = pod_numbers(timeline)
    uids = _uids(timeline)

    def told(text: str) -> str:
        if text in uids:
            return pods.get(uids[text], uids[text])
        for name, number in pods.items():
            text = text.replace(name, number)
        return _RANDOM.sub(_GENERATED, text)

    return _mapped(timeline, told), _mapped(final, told)


def _uids(value: Any) -> dict[str, str]:
    """Each UID of a recording with the name that stands beside it."""
    found: dict[str, str] = {}
    if isinstance(value, list):
        for item in value:
            found |= _uids(item)
    elif isinstance(value, dict):
        if "uid" in value and "name" in value:
            found[value["uid"]] = value["name"]
        for item in value.values():
            found |= _uids(item)
    return found


def _mapped(value: Any, told: Any) -> Any:
    if isinstance(value, str):
        return told(value)
    if isinstance(value, list):
        return [_mapped(item, told) for item in value]
    if isinstance(value, dict):
        return {key: _mapped(item, told) for key, item in value.items()}
    return value


def renamed(record: Record) -> Record | None:
    """The record with other names for its devices, its node and what its clients made."""
    setup = record["setup"]
    names = {str(d["name"]) for s in setup["slices"] for d in s["spec"].get("devices") or ()}
    names |= {str(setup["node"])}
    for entry in record["timeline"]:
        words = str(entry.get("action", "")).split()
        if words[:1] == ["create"] and len(words[2]) < _LONG:
            names.add(words[2])
    if not names:
        return None
    pattern = re.compile(
        r"(?<![\w])(" + "|".join(sorted(names, key=len, reverse=True)) + r")(?![\w])"
    )
    text = pattern.sub(lambda match: f"x{match.group(1)}y", json.dumps(record))
    changed: KubeObject = json.loads(text)
    return changed | {"id": record["id"], "note": record["note"]}


# A longer name would be cut at another place.
_LONG = 20
