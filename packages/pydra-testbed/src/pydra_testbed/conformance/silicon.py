"""Whether a published device and an ID of a device plugin are the same silicon, by what a container gets with each.

DP-08 asks here about a device that no ID turns Unhealthy for: a driver that splits its devices between both sides for
good is right, one that gives a device away twice is not, and both look alike to the kubelet. Device nodes say most;
where either side has none, values that one device alone has (a UUID in a variable, a folder, a name) have to do.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydra_cdi import ContainerEdits, Registry
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.services import ClaimAnswer

_SEPARATORS = re.compile(r"[\s,;=|]+|::")
_LEAST = 4
"""A shorter value, or a number, may be the same by accident."""


class Verdict(enum.Enum):
    """What a device and an ID have to do with each other."""

    SAME = enum.auto()
    DIFFERENT = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class Marks:
    """By what something can be known: device nodes and other settings of a container, and its own names."""

    nodes: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def without(self, other: Marks) -> Marks:
        """What the other does not have as well."""
        return Marks(
            self.nodes - other.nodes, self.settings - other.settings, self.names - other.names
        )


def own(all_marks: Sequence[Marks]) -> list[Marks]:
    """What each has that not all of them have; nodes and names alone say something where there is but one."""
    if len(all_marks) <= 1:
        return [Marks(each.nodes, frozenset(), each.names) for each in all_marks]
    common = Marks(
        frozenset.intersection(*(each.nodes for each in all_marks)),
        frozenset.intersection(*(each.settings for each in all_marks)),
        frozenset.intersection(*(each.names for each in all_marks)),
    )
    return [each.without(common) for each in all_marks]


def compared(device: Marks, plugged: Marks) -> Verdict:
    """Of a published device, by what is its own, and of an ID, by all that a container gets with it.

    IDs may well be several uses of one device, so that nothing need be an ID's own.
    """
    if device.nodes and plugged.nodes:
        return Verdict.SAME if device.nodes <= plugged.nodes else Verdict.DIFFERENT
    if (device.settings | device.names) & (plugged.settings | plugged.names):
        return Verdict.SAME
    is_told = _variables(device.settings) & _variables(plugged.settings)
    return Verdict.DIFFERENT if is_told else Verdict.UNKNOWN


def _variables(settings: Iterable[str]) -> set[str]:
    return {name for name, equals, _ in (each.partition("=") for each in settings) if equals}


def of_claim(stand: Stand, name: str, answer: ClaimAnswer) -> Marks:
    """Of a published device, by the answer to a claim that has it alone."""
    ids = [each for device in answer.devices for each in device.cdi_ids]
    nodes, settings = _of_edits(_resolved(stand, ids))
    return Marks(nodes, settings, frozenset({name}))


def of_id(stand: Stand, name: str, answer: Any) -> Marks:
    """Of an ID, by the answer to an Allocate of it alone."""
    nodes, settings = _of_edits(_resolved(stand, [each.name for each in answer.cdi_devices]))
    nodes |= {each.host_path for each in answer.devices}
    settings |= _of_env(answer.envs) | {each.host_path for each in answer.mounts}
    return Marks(nodes, settings, frozenset({name, *_values(name)}))


def _resolved(stand: Stand, ids: Iterable[str]) -> list[ContainerEdits]:
    known = Registry([stand.cdi.directory]).refresh().devices
    found = [known[each] for each in ids if each in known]
    return [
        edits
        for each in found
        for edits in (each.device.container_edits, each.origin.spec.container_edits)
    ]


def _of_edits(all_edits: Collection[ContainerEdits]) -> tuple[frozenset[str], frozenset[str]]:
    nodes = {node.host_path or node.path for edits in all_edits for node in edits.device_nodes}
    mounts = {mount.host_path for edits in all_edits for mount in edits.mounts}
    entries = (entry.partition("=") for edits in all_edits for entry in edits.env)
    settings = _of_env({name: value for name, _, value in entries})
    return frozenset(nodes), frozenset(settings | mounts)


def _of_env(env: Mapping[str, str]) -> set[str]:
    """Each variable, and each value that is hardly anything else by accident."""
    found = {f"{name}={value}" for name, value in env.items()}
    for value in env.values():
        found |= _values(value)
    return found


def _values(text: str) -> set[str]:
    parts = _SEPARATORS.split(text)
    return {part for part in parts if len(part) >= _LEAST and not part.isdigit()}
