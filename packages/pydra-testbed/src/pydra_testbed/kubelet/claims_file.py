"""The kubelet's own file of the claims it has to unprepare after a restart.

`dra_manager_state` in the kubelet's root: JSON with the data as a string and the CRC-32 of that
string, as kubelet 1.36 writes it. Written by rename, without fsync: it must survive a killed testbed,
not a power cut. A file that cannot be trusted stops the kubelet instead of being overwritten.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydra_testbed.kubelet.calls import ClaimRef
from pydra_testbed.kubelet.claims import ClaimRecord
from pydra_testbed.kubelet.services import PreparedDevice

_KIND = {"kind": "DRACheckpoint", "apiVersion": "checkpoint.dra.kubelet.k8s.io/v1"}


class ClaimsFileError(Exception):
    """The file is damaged or of another version."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path}: {why}; delete the pods of this node with their claims and remove the file"
        )


def load_claims(path: Path) -> list[ClaimRecord]:
    """The claims of the kubelet that ran before; raises `ClaimsFileError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    try:
        envelope = json.loads(text)
        data = str(envelope["Data"])
        if zlib.crc32(data.encode()) != envelope["Checksum"]:
            raise ClaimsFileError(path, "the checksum does not fit the data")
        content = json.loads(data)
        if {key: content.get(key) for key in _KIND} != _KIND:
            raise ClaimsFileError(path, f"it is {content.get('apiVersion')}, not of this kubelet")
        return [_record(entry) for entry in content["Entries"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ClaimsFileError(path, f"it cannot be read ({error})") from error


def store_claims(path: Path, records: Iterable[ClaimRecord]) -> None:
    """Replace the file by the present claims."""
    data = json.dumps({**_KIND, "Entries": [_entry(record) for record in records]})
    envelope = {"Data": data, "Checksum": zlib.crc32(data.encode())}
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(envelope), encoding="utf-8")
    temporary.replace(path)


def _entry(record: ClaimRecord) -> dict[str, Any]:
    return {
        "ClaimUID": record.ref.uid,
        "ClaimName": record.ref.name,
        "Namespace": record.ref.namespace,
        "PodUIDs": {uid: {} for uid in sorted(record.pods)},
        "DriverState": {
            driver: {"Devices": [_device_entry(device) for device in devices]}
            for driver, devices in record.devices.items()
        },
    }


def _device_entry(device: PreparedDevice) -> dict[str, Any]:
    return {
        "PoolName": device.pool,
        "DeviceName": device.device,
        "ShareID": device.share_id or None,
        "RequestNames": list(device.requests),
        "CDIDeviceIDs": list(device.cdi_ids),
    }


def _record(entry: dict[str, Any]) -> ClaimRecord:
    return ClaimRecord(
        ref=ClaimRef(entry["Namespace"], entry["ClaimName"], entry["ClaimUID"]),
        devices={
            driver: [_device(device) for device in state["Devices"]]
            for driver, state in entry["DriverState"].items()
        },
        pods=set(entry["PodUIDs"]),
    )


def _device(entry: dict[str, Any]) -> PreparedDevice:
    return PreparedDevice(
        pool=entry["PoolName"],
        device=entry["DeviceName"],
        requests=tuple(entry["RequestNames"]),
        cdi_ids=tuple(entry["CDIDeviceIDs"]),
        share_id=entry["ShareID"] or "",
    )
