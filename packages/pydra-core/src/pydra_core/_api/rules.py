"""The limits of `resource.k8s.io/v1` a driver's inventory can break, checked before anything is written.

The API server would refuse the slice with one of these faults and the driver would look dead; naming all of
them, with the device and the remedy, is what its author needs.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pydra_core._api.policy_rules import policy_faults, quantity_faults
from pydra_core._api.pools import local_pools
from pydra_core._values import Capacity, Device, Inventory, Nodes, Pool, Taint, Version
from pydra_core.errors import InventoryError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-((0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DOMAIN_LENGTH = 63
_NAME_LENGTH = 253
_FACTS_PER_DEVICE = 32
_TEXT_BYTES = 64
_TAINTS = 16
_CONSUMPTIONS = 2
_COUNTERS = 32
_INT64 = range(-(2**63), 2**63)
_VALUES = {
    "In": (1, math.inf),
    "NotIn": (1, math.inf),
    "Exists": (0, 0),
    "DoesNotExist": (0, 0),
    "Gt": (1, 1),
    "Lt": (1, 1),
}
"""How many values each operator of a node selector takes, at least and at most."""
_SOME_NODE = "node"


def is_driver_name(name: str) -> bool:
    """Whether `name` is a DNS subdomain of at most 63 characters that begins with a letter, as a CDI vendor must."""
    return len(name) <= _DOMAIN_LENGTH and is_subdomain(name) and name[0].isalpha()


def is_subdomain(name: str) -> bool:
    """Whether `name` is a DNS subdomain (RFC 1123), which most objects' names are."""
    return len(name) <= _NAME_LENGTH and bool(_SUBDOMAIN.fullmatch(name))


def is_label(name: str) -> bool:
    """Whether `name` is a DNS label (RFC 1123): namespaces, requests and devices are."""
    return bool(_LABEL.fullmatch(name))


def is_pool_name(name: str) -> bool:
    """Whether `name` is one or more DNS subdomains joined by `/`, of at most 253 characters together."""
    return len(name) <= _NAME_LENGTH and all(map(is_subdomain, name.split("/")))


def check(inventory: Inventory) -> None:
    """Refuse an inventory the API server would refuse, or that a scheduler could not use.

    Raises:
        InventoryError: lists every fault found.
    """
    faults = faults_by_pool(local_pools(inventory, _SOME_NODE), _SOME_NODE)
    if faults:
        raise inventory_error(faults)


def faults_by_pool(pools: Sequence[Pool], node: str) -> dict[str, list[str]]:
    """What the API server would refuse, by the name of the pool; pools without faults are left out.

    A device two pools have is a fault of the later one. `node` is the node whose pools these are (`local_pools`),
    empty for pools of the cluster.
    """
    found: dict[str, list[str]] = {}
    homes: dict[str, str] = {}
    for pool in pools:
        faults = [
            *_placed(pool, node),
            *_names(pool),
            *(f for d in pool.devices for f in _device(d)),
        ]
        known = {s.name: s.counters for s in pool.counter_sets}
        faults += [
            f for s in pool.counter_sets for f in _counters(f"counter set {s.name!r}", s.counters)
        ]
        faults += [f for d in pool.devices for f in _consumption(d, known)]
        for device in pool.devices:
            if homes.setdefault(device.name, pool.name) != pool.name:
                faults.append(f"device {device.name!r}: is in pool {homes[device.name]!r} too")
        if sum(p.name == pool.name for p in pools) > 1:
            faults.append("there are several pools of this name")
        where = "" if pool.name == node else f"pool {pool.name!r}: "
        if faults:
            found.setdefault(pool.name, []).extend(where + fault for fault in faults)
    return found


def inventory_error(faults: Mapping[str, Sequence[str]]) -> InventoryError:
    """Say what is wrong with pools, by their names."""
    every = [fault for each in faults.values() for fault in each]
    return InventoryError(
        "inventory: cannot be published: "
        + "; ".join(every[:20])
        + " (correct what discover or cluster_pools returns)",
        faults=tuple(every),
    )


def _placed(pool: Pool, node: str) -> Iterator[str]:
    """Where a pool is, and who reaches it."""
    if not is_pool_name(pool.name):
        yield (
            "its name must be DNS subdomains, lower case, at most 253 characters with the node's name before it"
            if node
            else "its name must be DNS subdomains joined by '/', lower case, at most 253 characters"
        )
    if pool.nodes is not None:
        yield from _nodes("its nodes", pool.nodes)
        if node:
            yield "a pool of this node names no nodes; return it from `cluster_pools`"
    for device in pool.devices:
        where = f"device {device.name!r}"
        if device.nodes is not None:
            yield from _nodes(f"{where}: its nodes", device.nodes)
            if node or pool.nodes is not None:
                yield f"{where}: names nodes, which are given by its pool"
        elif not node and pool.nodes is None:
            yield f"{where}: neither it nor its pool says which nodes reach it"


def _nodes(where: str, nodes: Nodes) -> Iterator[str]:
    """What a node selector may ask; the API server has the same rules."""
    if nodes.name and not is_subdomain(nodes.name):
        yield f"{where}: {nodes.name!r} is no node's name"
    for key, value in nodes.labels.items():
        yield from _label(f"{where}: label {key!r}", key, (value,))
    for wish in nodes.requirements:
        at = f"{where}: label {wish.key!r}"
        yield from _label(at, wish.key, wish.values)
        most = _VALUES.get(wish.operator)
        if most is None:
            yield f"{at}: operator {wish.operator!r} is none of {', '.join(_VALUES)}"
        elif not most[0] <= len(wish.values) <= most[1]:
            yield f"{at}: {len(wish.values)} values are not for operator {wish.operator}"


def _label(where: str, key: str, values: Sequence[str]) -> Iterator[str]:
    domain, slash, name = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and not is_subdomain(domain)):
        yield f"{where}: must be a label's name, at most 63 characters, optionally behind `domain/`"
    for value in values:
        if value and not _LABEL_NAME.fullmatch(value):
            yield f"{where}: value {value!r} must be a label's value: one word of at most 63 characters"


def _names(pool: Pool) -> Iterator[str]:
    for kind, names in (
        ("device", [d.name for d in pool.devices]),
        ("counter set", [s.name for s in pool.counter_sets]),
    ):
        for name, times in Counter(names).items():
            if times > 1:
                yield f"{kind} name {name!r} appears {times} times: names are unique in a pool"
            if not is_label(name):
                yield f"{kind} name {name!r}: must be a DNS label, lower case, at most 63 characters"


def _device(device: Device) -> Iterator[str]:
    where = f"device {device.name!r}"
    facts = len(device.attributes) + len(device.capacity)
    if facts > _FACTS_PER_DEVICE:
        yield f"{where}: {facts} attributes and capacities, at most {_FACTS_PER_DEVICE}"
    for name in (*device.attributes, *device.capacity):
        yield from _qualified(where, name)
    for name, value in device.attributes.items():
        yield from _attribute(f"{where}: attribute {name!r}", value)
    for name, capacity in device.capacity.items():
        yield from _capacity(f"{where}: capacity {name!r}", capacity, shareable=device.shareable)
    if len(device.taints) > _TAINTS:
        yield f"{where}: {len(device.taints)} taints, at most {_TAINTS}"
    for taint in device.taints:
        yield from _taint(f"{where}: taint {taint.key!r}", taint)


def _taint(where: str, taint: Taint) -> Iterator[str]:
    if taint.effect not in ("None", "NoSchedule", "NoExecute"):
        yield f"{where}: effect {taint.effect!r} is not NoSchedule, NoExecute or None"
    yield from _label(where, taint.key, (taint.value,))


def _qualified(where: str, name: str) -> Iterator[str]:
    domain, slash, identifier = name.rpartition("/")
    if not _IDENTIFIER.fullmatch(identifier):
        yield f"{where}: name {name!r}: must be a C identifier of at most 32 characters (no dashes)"
    if slash and not (len(domain) <= _DOMAIN_LENGTH and is_subdomain(domain)):
        yield f"{where}: name {name!r}: its domain must be a DNS subdomain of at most 63 characters"


def _attribute(where: str, value: object) -> Iterator[str]:
    text = value.text if isinstance(value, Version) else value
    if isinstance(text, str):
        yield from _text(where, text)
    if isinstance(value, Version) and not _SEMVER.fullmatch(value.text):
        yield f"{where}: {value.text!r} is no semantic version: three numbers without leading zeros"
    if isinstance(value, int) and value not in _INT64:
        yield f"{where}: {value} does not fit 64 bits"
    if not isinstance(value, bool | int | str | Version):
        yield f"{where}: {type(value).__name__} is not bool, int, str or Version"


def _text(where: str, text: str) -> Iterator[str]:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:  # what Python makes of bytes in a file that are none
        yield f"{where}: {text!r} is no Unicode text"
        return
    if length > _TEXT_BYTES:
        yield f"{where}: {length} bytes of text, at most {_TEXT_BYTES}"


def _capacity(where: str, value: str | int | Capacity, *, shareable: bool) -> Iterator[str]:
    yield from quantity_faults(where, value.value if isinstance(value, Capacity) else value)
    if isinstance(value, Capacity):
        yield from policy_faults(where, value, shareable=shareable)


def _counters(where: str, counters: Mapping[str, str]) -> Iterator[str]:
    if not 0 < len(counters) <= _COUNTERS:
        yield f"{where}: {len(counters)} counters, must be 1 to {_COUNTERS}"
    for name, value in counters.items():
        if not is_label(name):
            yield f"{where}: counter {name!r}: must be a DNS label"
        yield from quantity_faults(f"{where}: counter {name!r}", value)


def _consumption(device: Device, known: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    where = f"device {device.name!r}"
    if len(device.consumes) > _CONSUMPTIONS:
        yield f"{where}: consumes from {len(device.consumes)} counter sets, at most {_CONSUMPTIONS}"
    for consumption in device.consumes:
        yield from _counters(where, consumption.counters)
        counters = known.get(consumption.counter_set)
        if counters is None:
            yield f"{where}: counter set {consumption.counter_set!r} does not exist"
            continue
        for name in sorted(set(consumption.counters) - set(counters)):
            yield f"{where}: counter set {consumption.counter_set!r} has no counter {name!r}"
