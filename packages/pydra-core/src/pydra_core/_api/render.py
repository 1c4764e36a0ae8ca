"""From pools to the bodies of `resource.k8s.io/v1` slices, split by the API's limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydra_core._api.pools import nodes_body, selection
from pydra_core._values import (
    AttributeValue,
    Capacity,
    Device,
    Nodes,
    Pool,
    RequestPolicy,
    Taint,
    Version,
)
from pydra_core.quantity import parse

_T = TypeVar("_T")

MAX_DEVICES = 128
MAX_DEVICES_ADVANCED = 64
"""The limit as soon as one device of the slice has taints or consumes counters."""
MAX_COUNTER_SETS = 8


@dataclass(frozen=True, slots=True)
class Rendered:
    """A pool as bodies, not split yet."""

    counter_sets: tuple[dict[str, Any], ...]
    devices: tuple[dict[str, Any], ...]


def render(pool: Pool) -> Rendered:
    """Spell a pool as the API server would."""
    return Rendered(
        tuple({"name": s.name, "counters": _quantities(s.counters)} for s in pool.counter_sets),
        tuple(_device(d) for d in pool.devices),
    )


def split(rendered: Rendered, most: int = MAX_DEVICES) -> list[dict[str, Any]]:
    """Return what each slice of a pool holds: `devices` or `sharedCounters`, never both.

    Counters need slices of their own since Kubernetes 1.35. A block of `most` devices that holds one with taints
    or counters is cut in two, and the other blocks stay as they are. A pool without devices is one empty slice, so
    that the scheduler sees a complete pool.
    """
    contents: list[dict[str, Any]] = [
        {"sharedCounters": list(chunk)}
        for chunk in _chunks(rendered.counter_sets, MAX_COUNTER_SETS)
    ]
    for block in _chunks(rendered.devices, most):
        limit = MAX_DEVICES_ADVANCED if any(map(_is_advanced, block)) else most
        contents += [{"devices": list(chunk)} for chunk in _chunks(block, limit)]
    if not rendered.devices:
        contents.append({"devices": []})
    return contents


def slice_contents(pools: Iterable[Pool], node: str = "") -> dict[str, list[dict[str, Any]]]:
    """Return what each slice of each pool holds, by the pools' names. `node` is whose they are, if one node's."""
    return {
        pool.name: [selection(pool, node) | content for content in split(render(pool))]
        for pool in pools
    }


def taint_bodies(taints: Iterable[Taint]) -> list[dict[str, Any]]:
    """Spell taints as the API server would."""
    return [
        {"key": t.key, "effect": t.effect} | ({"value": t.value} if t.value else {}) for t in taints
    ]


def _is_advanced(device: dict[str, Any]) -> bool:
    return "taints" in device or "consumesCounters" in device


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _device(device: Device) -> dict[str, Any]:
    body: dict[str, Any] = {"name": device.name}
    if device.attributes:
        body["attributes"] = {name: _attribute(value) for name, value in device.attributes.items()}
    if device.capacity:
        body["capacity"] = {name: _capacity(value) for name, value in device.capacity.items()}
    if device.shareable:
        body["allowMultipleAllocations"] = True
    if device.consumes:
        body["consumesCounters"] = [
            {"counterSet": c.counter_set, "counters": _quantities(c.counters)}
            for c in device.consumes
        ]
    if device.taints:
        body["taints"] = taint_bodies(device.taints)
    if device.nodes is not None:
        alone = device.nodes == Nodes(name=device.nodes.name)
        body |= (
            {"nodeName": device.nodes.name}
            if alone and device.nodes.name
            else nodes_body(device.nodes)
        )
    return body


def _attribute(value: AttributeValue) -> dict[str, Any]:
    match value:
        case bool():
            return {"bool": value}
        case int():
            return {"int": value}
        case Version():
            return {"version": value.text}
        case _:
            return {"string": value}


def _capacity(value: str | int | Capacity) -> dict[str, Any]:
    if not isinstance(value, Capacity):
        return {"value": _quantity(value)}
    body: dict[str, Any] = {"value": _quantity(value.value)}
    if value.policy is not None:
        body["requestPolicy"] = _policy(value.policy)
    return body


def _policy(policy: RequestPolicy) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if policy.default:
        body["default"] = _quantity(policy.default)
    if policy.valid_values:
        body["validValues"] = [_quantity(v) for v in policy.valid_values]
    if allowed := policy.valid_range:
        pairs = (("min", allowed.minimum), ("max", allowed.maximum), ("step", allowed.step))
        body["validRange"] = {name: _quantity(value) for name, value in pairs if value}
    return body


def _quantities(counters: Any) -> dict[str, Any]:
    return {name: {"value": _quantity(value)} for name, value in counters.items()}


def _quantity(value: str | int) -> str:
    """Spell a quantity as the API server would, so that what was stored compares equal after a restart."""
    return str(parse(str(value)))
