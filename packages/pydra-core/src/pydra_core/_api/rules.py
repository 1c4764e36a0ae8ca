"""The limits of `resource.k8s.io/v1` a driver's inventory can break, checked before anything is written.

The API server would refuse the slice with one of these faults and the driver would look dead; naming all of
them, with the device and the remedy, is what its author needs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from pydra_core._api.policy_rules import policy_faults, quantity_faults
from pydra_core._values import Capacity, Device, Inventory, Taint, Version
from pydra_core.errors import InventoryError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-((0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
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


def is_driver_name(name: str) -> bool:
    """Whether `name` is a DNS subdomain of at most 63 characters that begins with a letter, as a CDI vendor must."""
    return len(name) <= _DOMAIN_LENGTH and is_subdomain(name) and name[0].isalpha()


def is_subdomain(name: str) -> bool:
    """Whether `name` is a DNS subdomain (RFC 1123), which most objects' names are."""
    return len(name) <= _NAME_LENGTH and bool(_SUBDOMAIN.fullmatch(name))


def is_label(name: str) -> bool:
    """Whether `name` is a DNS label (RFC 1123): namespaces, requests and devices are."""
    return bool(_LABEL.fullmatch(name))


def check(inventory: Inventory) -> None:
    """Refuse an inventory the API server would refuse, or that a scheduler could not use.

    Raises:
        InventoryError: lists every fault found.
    """
    faults = [*_names(inventory), *(f for d in inventory.devices for f in _device(d))]
    known = {s.name: s.counters for s in inventory.counter_sets}
    faults += [
        f for s in inventory.counter_sets for f in _counters(f"counter set {s.name!r}", s.counters)
    ]
    faults += [f for d in inventory.devices for f in _consumption(d, known)]
    if faults:
        raise InventoryError(
            "inventory: cannot be published: "
            + "; ".join(faults[:20])
            + " (correct what discover returns)",
            faults=tuple(faults),
        )


def _names(inventory: Inventory) -> Iterator[str]:
    for kind, names in (
        ("device", [d.name for d in inventory.devices]),
        ("counter set", [s.name for s in inventory.counter_sets]),
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
    domain, slash, name = taint.key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and not is_subdomain(domain)):
        yield f"{where}: its key must be a label's name, at most 63 characters, optionally behind `domain/`"
    if taint.value and not _LABEL_NAME.fullmatch(taint.value):
        yield f"{where}: value {taint.value!r} must be a label's value: one word of at most 63 characters"


def _qualified(where: str, name: str) -> Iterator[str]:
    domain, slash, identifier = name.rpartition("/")
    if not _IDENTIFIER.fullmatch(identifier):
        yield f"{where}: name {name!r}: must be a C identifier of at most 32 characters (no dashes)"
    if slash and not (len(domain) <= _DOMAIN_LENGTH and is_subdomain(domain)):
        yield f"{where}: name {name!r}: its domain must be a DNS subdomain of at most 63 characters"


def _attribute(where: str, value: object) -> Iterator[str]:
    text = value.text if isinstance(value, Version) else value
    if isinstance(text, str) and len(text.encode()) > _TEXT_BYTES:
        yield f"{where}: {len(text.encode())} bytes of text, at most {_TEXT_BYTES}"
    if isinstance(value, Version) and not _SEMVER.fullmatch(value.text):
        yield f"{where}: {value.text!r} is no semantic version: three numbers without leading zeros"
    if isinstance(value, int) and value not in _INT64:
        yield f"{where}: {value} does not fit 64 bits"
    if not isinstance(value, bool | int | str | Version):
        yield f"{where}: {type(value).__name__} is not bool, int, str or Version"


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
