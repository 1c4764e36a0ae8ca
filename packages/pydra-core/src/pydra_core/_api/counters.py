"""Where shared counters stand: in slices of their own, or, before Kubernetes 1.35, beside the devices that use them.

Called by the publisher. In 1.33 and 1.34 the API server refuses a device that consumes of a set which its own slice
does not hold; since 1.35 it refuses a slice that holds both (KEP-4815).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from pydra_core._api.client import KubeClient, decode_object
from pydra_core._api.render import MAX_DEVICES, Rendered, split
from pydra_core.errors import ApiError

_PATH = "/version"
_APART = (1, 35)

Layout: TypeAlias = Callable[[Rendered, int], list[dict[str, Any]]]


async def layout_of(client: KubeClient) -> Layout:
    """How this API server wants pools cut; one that does not tell its version is taken for a new one.

    Raises:
        ApiError: it gave no answer.
    """
    try:
        content = await client.get(_PATH)
    except ApiError as err:
        if err.patience:
            raise
        return split
    try:
        told = decode_object(f"GET {_PATH}", content)
    except ApiError:
        return split
    numbers = [re.match(r"\d+", str(told.get(key, ""))) for key in ("major", "minor")]
    version = tuple(int(number[0]) for number in numbers if number)
    return beside if len(version) == len(_APART) and version < _APART else split


def beside(rendered: Rendered, most: int = MAX_DEVICES) -> list[dict[str, Any]]:
    """Return what each slice of a pool holds where devices stand in one slice with the counters they consume.

    Sets that one device connects, and all devices that consume of them, are one slice, at the place of the first
    of these devices. A group that is too large for one slice cannot be published there: the server says so.
    """
    groups = _groups(rendered)
    contents: list[dict[str, Any]] = []
    plain: list[dict[str, Any]] = []
    placed: set[int] = set()
    for device in rendered.devices:
        names = _consumed(device)
        group = groups.get(names[0]) if names else None
        if group is None:
            plain.append(device)
        elif id(group) not in placed:
            contents += _plain(plain, most)
            plain = []
            placed.add(id(group))
            contents.append(_together(rendered, group))
    contents += _plain(plain, most)
    unused = [s for s in rendered.counter_sets if id(groups[s["name"]]) not in placed]
    contents += [{"sharedCounters": [counter_set]} for counter_set in unused]
    return contents or [{"devices": []}]


def _plain(devices: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    return split(Rendered((), tuple(devices)), most) if devices else []


def _together(rendered: Rendered, group: Iterable[str]) -> dict[str, Any]:
    names = set(group)
    return {
        "sharedCounters": [s for s in rendered.counter_sets if s["name"] in names],
        "devices": [d for d in rendered.devices if names & set(_consumed(d))],
    }


def _groups(rendered: Rendered) -> Mapping[str, list[str]]:
    """The sets that must be in one slice with each set, itself among them: one list for all of a group."""
    groups: dict[str, list[str]] = {s["name"]: [s["name"]] for s in rendered.counter_sets}
    for device in rendered.devices:
        first, *others = _consumed(device) or [""]
        for other in others:
            if other in groups and first in groups and groups[first] is not groups[other]:
                groups[first] += groups[other]
                groups |= dict.fromkeys(groups[other], groups[first])
    return groups


def _consumed(device: Mapping[str, Any]) -> list[str]:
    return [entry["counterSet"] for entry in device.get("consumesCounters") or []]
