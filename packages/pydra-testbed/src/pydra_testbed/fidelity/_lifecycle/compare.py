"""Two sequences of watch events: each object's states in full, different objects by order where time tells it.

Watches of different kinds are streams of their own and not compared with each other. Writes to different objects
of one kind race in a real cluster; their order counts when a tenth of a second or more lay between them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pydra_testbed.fidelity._lifecycle.naming import canonical
from pydra_testbed.fidelity._lifecycle.timeline import compared
from pydra_testbed.fidelity.model import Record
from pydra_testbed.objects import KubeObject

_APART = 0.1
_KINDS = ("Pod", "ResourceClaim", "Job", "Event")


def differences(wanted: Sequence[KubeObject], found: Sequence[KubeObject]) -> Iterator[str]:
    """One line for each object whose states differ, and for the first order of each kind that does."""
    for kind in _KINDS:
        ours = [entry for entry in found if entry["kind"] == kind]
        theirs = [entry for entry in wanted if entry["kind"] == kind]
        yield from _states(kind, _once(theirs), _once(ours))
        yield from _order(kind, _once(theirs), _once(ours))


def _states(kind: str, theirs: Sequence[KubeObject], ours: Sequence[KubeObject]) -> Iterator[str]:
    left, right = _by_object(theirs), _by_object(ours)
    for name in {**left, **right}:
        expected = [compared(entry) for entry in left.get(name, ())]
        actual = [compared(entry) for entry in right.get(name, ())]
        for number, (one, other) in enumerate(zip(expected, actual, strict=False), start=1):
            if one != other:
                yield f"{kind} {name}, event {number}: {_apart(one, other)}"
                break
        else:
            if len(expected) != len(actual):
                rest = (expected if len(expected) > len(actual) else actual)[
                    min(len(expected), len(actual)) :
                ]
                told = "missing" if len(expected) > len(actual) else "not expected"
                yield f"{kind} {name}: {len(rest)} events {told}: {json.dumps(rest[0])}"


def _apart(one: KubeObject, other: KubeObject) -> str:
    fields = sorted(key for key in {**one, **other} if one.get(key) != other.get(key))
    return "; ".join(
        f"{key} {json.dumps(other.get(key))} instead of {json.dumps(one.get(key))}"
        for key in fields
    )


def _order(kind: str, theirs: Sequence[KubeObject], ours: Sequence[KubeObject]) -> Iterator[str]:
    """What came a tenth of a second earlier there comes earlier here."""
    places = _places(ours)
    marks = [(entry["t"], mark) for entry, mark in zip(theirs, _marks(theirs), strict=True)]
    for index, (time, mark) in enumerate(marks):
        for later, other in marks[index + 1 :]:
            known = mark in places and other in places
            if later - time >= _APART and known and places[other] < places[mark]:
                yield f"{kind} {other[0]}, event {other[1]}: comes before {mark[0]}, event {mark[1]}"
                return


def _places(entries: Sequence[KubeObject]) -> dict[tuple[str, int], int]:
    return {mark: place for place, mark in enumerate(_marks(entries))}


def _marks(entries: Sequence[KubeObject]) -> list[tuple[str, int]]:
    """Each event as its object and its number there."""
    counts: defaultdict[str, int] = defaultdict(int)
    marks = []
    for entry in entries:
        counts[_object(entry)] += 1
        marks.append((_object(entry), counts[_object(entry)]))
    return marks


def _by_object(entries: Sequence[KubeObject]) -> dict[str, list[KubeObject]]:
    found: defaultdict[str, list[KubeObject]] = defaultdict(list)
    for entry in entries:
        found[_object(entry)].append(entry)
    return found


def _object(entry: KubeObject) -> str:
    """An Event is an object of its own, known by what it says about which other."""
    if entry["kind"] == "Event":
        return f"{entry['regarding']}, {entry['reason']}, {entry['message']}"
    return str(entry["name"])


def _once(entries: Sequence[KubeObject]) -> list[KubeObject]:
    """Without Events that say again what one before them said.

    How often a pod is tried in vain depends on whatever else happens in a cluster.
    """
    kept: list[KubeObject] = []
    last: dict[str, KubeObject] = {}
    for entry in entries:
        if entry["kind"] == "Event":
            if last.get(_object(entry)) == compared(entry):
                continue
            last[_object(entry)] = compared(entry)
        kept.append(entry)
    return kept


def final_differences(record: Record, found: KubeObject) -> Iterator[str]:
    """The objects at the end, by name."""
    _, told = canonical(list(record["timeline"]), record["final"])
    for kind in ("pods", "claims"):
        theirs = {body["name"]: body for body in told[kind]}
        ours = {body["name"]: body for body in found[kind]}
        for name in sorted({*theirs, *ours}):
            if theirs.get(name) != ours.get(name):
                text = f"{json.dumps(ours.get(name))} instead of {json.dumps(theirs.get(name))}"
                yield f"at the end, {kind} {name}: {text}"
