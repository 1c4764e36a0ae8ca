"""One entry of `status.devices`: written by a driver about a device it prepared (KEP-4817)."""

from __future__ import annotations

import ipaddress
import re

from pydra_testbed.api._causes import (
    Causes,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from pydra_testbed.api._names import driver_name, key_named, label, pool_name, size
from pydra_testbed.api._rules.lists import Check, unique
from pydra_testbed.api._rules.opaque import raw_object
from pydra_testbed.api._rules.uids import share_id
from pydra_testbed.objects import KubeObject

CONDITIONS_MAX = 8
DATA_MAX = 10 * 1024
INTERFACE_MAX = 256
ADDRESS_MAX = 128
IPS_MAX = 16
MESSAGE_MAX = 32768
REASON_MAX = 1024
STATUSES = ("False", "True", "Unknown")
_LEADING_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")
"""Of numbers in an IPv4 address and of prefix lengths; Go reads over them."""
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of "
    "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' "
    "(e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', "
    "regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
)


def device_status(field: str, entry: KubeObject, allocated: Check) -> Causes:
    """One entry; `allocated` judges whether the claim has that device."""
    found = driver_name(f"{field}.driver", entry.get("driver", ""))
    found += pool_name(f"{field}.pool", entry.get("pool", ""))
    found += label(f"{field}.device", entry.get("device", ""))
    if entry.get("shareID") is not None:
        found += share_id(f"{field}.shareID", entry["shareID"])
    found += allocated(field, entry)
    items = entry.get("conditions") or []
    path = f"{field}.conditions"
    if len(items) > CONDITIONS_MAX:
        found.append(too_many(path, len(items), CONDITIONS_MAX))
    found += conditions(path, items)
    if entry.get("data") is not None:
        found += raw_object(f"{field}.data", entry["data"], DATA_MAX)
    if entry.get("networkData") is not None:
        found += _network(f"{field}.networkData", entry["networkData"])
    return found


def conditions(field: str, items: list[KubeObject]) -> Causes:
    """Conditions of meta/v1: complete entries, one per type."""
    found: Causes = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        path, name = f"{field}[{index}]", item.get("type", "")
        if name in seen:
            found.append(duplicate(f"{path}.type", name))
        seen.add(name)
        found += _condition(path, item)
    return found


def _condition(field: str, item: KubeObject) -> Causes:
    found = key_named(f"{field}.type", item.get("type", ""))
    status, reason = item.get("status", ""), item.get("reason", "")
    if status not in STATUSES:
        found.append(not_supported(f"{field}.status", status, STATUSES))
    generation = item.get("observedGeneration", 0)
    if generation < 0:
        detail = "must be greater than or equal to zero"
        found.append(invalid(f"{field}.observedGeneration", generation, detail))
    if not item.get("lastTransitionTime"):
        found.append(required(f"{field}.lastTransitionTime"))
    if not reason:
        found.append(required(f"{field}.reason"))
    else:
        found += _reason(f"{field}.reason", reason)
    if size(item.get("message", "")) > MESSAGE_MAX:
        found.append(too_long(f"{field}.message", MESSAGE_MAX))
    return found


def _reason(field: str, reason: str) -> Causes:
    found: Causes = []
    if not _REASON.fullmatch(reason):
        found.append(invalid(field, reason, _REASON_TEXT))
    if size(reason) > REASON_MAX:
        found.append(too_long(field, REASON_MAX))
    return found


def _network(field: str, data: KubeObject) -> Causes:
    limits = (("interfaceName", INTERFACE_MAX), ("hardwareAddress", ADDRESS_MAX))
    found: Causes = [
        too_long(f"{field}.{name}", limit)
        for name, limit in limits
        if size(data.get(name, "")) > limit
    ]
    return found + unique(f"{field}.ips", data.get("ips"), IPS_MAX, _address)


def _address(field: str, text: str) -> Causes:
    """An address with its prefix length, in canonical form."""
    try:
        address = ipaddress.ip_interface(_LEADING_ZEROS.sub("", text))
    except ValueError:
        address = None
    if address is None or "%" in text or not re.search(r"/[0-9]+$", text):
        detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        return [invalid(field, text, detail)]
    canonical = _canonical(address)
    if canonical != text:
        return [invalid(field, text, f'must be in canonical form ("{canonical}")')]
    return []


def _canonical(address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> str:
    if isinstance(address, ipaddress.IPv6Interface) and address.ip.ipv4_mapped is not None:
        return f"{address.ip.ipv4_mapped}/{address.network.prefixlen - 96}"
    return str(address)
