"""The kubelet's own file of what its device plugins allocated: `device-plugins/kubelet_internal_checkpoint`.

JSON as kubelet 1.36 writes it: who holds which devices by NUMA node, the plugin's whole answer, and which devices
there were. The checksum is the testbed's own (CRC-32 of the data), as the kubelet's is one of Go's memory layout. A
file that cannot be trusted is left aside with a warning, and the kubelet starts without: it does so too.
"""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydra_testbed.kubelet.deviceplugins.model import Holding, PluginDevice

_log = logging.getLogger(__name__)
_NO_NODE = "-1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a kubelet left to the next."""

    holdings: tuple[Holding, ...] = ()
    resources: tuple[str, ...] = ()


def load(path: Path) -> Checkpoint:
    """What the kubelet that ran before knew; nothing when there is no file, or a damaged one."""
    try:
        envelope = json.loads(path.read_text(encoding="utf-8"))
        data = envelope["Data"]
        _check(envelope["Checksum"], data)
        holdings = tuple(_holding(entry) for entry in data["PodDeviceEntries"] or ())
        return Checkpoint(holdings, tuple(data["RegisteredDevices"] or ()))
    except FileNotFoundError:
        return Checkpoint()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        extra = {"file": str(path), "error": str(error)}
        _log.warning("device allocations of the kubelet before not read", extra=extra)
        return Checkpoint()


def store(path: Path, holdings: Iterable[Holding], devices: Mapping[str, Iterable[str]]) -> None:
    """Replace the file; raises `OSError`."""
    data = {
        "PodDeviceEntries": [_entry(holding) for holding in holdings] or None,
        "RegisteredDevices": {name: sorted(ids) for name, ids in devices.items()},
    }
    text = json.dumps({"Data": data, "Checksum": _checksum(data)})
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _check(checksum: Any, data: Any) -> None:
    if checksum != _checksum(data):
        raise ValueError("the checksum does not fit the data")


def _checksum(data: Any) -> int:
    return zlib.crc32(json.dumps(data, sort_keys=True).encode())


def _entry(holding: Holding) -> dict[str, Any]:
    by_node: dict[str, list[str]] = {}
    for device in holding.devices:
        for node in map(str, device.nodes) if device.nodes else [_NO_NODE]:
            by_node.setdefault(node, []).append(device.id)
    return {
        "PodUID": holding.pod,
        "ContainerName": holding.container,
        "ResourceName": holding.resource,
        "DeviceIDs": by_node,
        "AllocResp": base64.b64encode(holding.answer).decode(),
    }


def _holding(entry: dict[str, Any]) -> Holding:
    nodes: dict[str, list[int]] = {}
    for node, names in entry["DeviceIDs"].items():
        for name in names:
            nodes.setdefault(name, []).extend([] if node == _NO_NODE else [int(node)])
    devices = tuple(PluginDevice(name, nodes=tuple(found)) for name, found in nodes.items())
    answer = base64.b64decode(entry["AllocResp"], validate=True)
    return Holding(entry["PodUID"], entry["ContainerName"], entry["ResourceName"], devices, answer)
