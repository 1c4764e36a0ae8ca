"""Which claims this node has prepared or tried to, for which pods, with which devices.

The DRA manager's cache. A claim enters before its driver is called, so that a claim whose prepare
failed is unprepared too, and leaves when unprepare succeeded. That a claim *is* prepared is kept in
memory only: a restarted kubelet asks the drivers again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydra_testbed.kubelet.calls import ClaimRef
from pydra_testbed.kubelet.services import PreparedDevice


@dataclass(slots=True)
class ClaimRecord:
    """One claim on this node; `devices` holds every driver of its allocation, prepared or not."""

    ref: ClaimRef
    devices: dict[str, list[PreparedDevice]]
    pods: set[str] = field(default_factory=set)
    prepared: bool = False

    def cdi_ids(self, request: str) -> Iterator[str]:
        """The CDI device IDs for one container entry; an empty `request` means all of the claim.

        A device without request names is for every container that uses the claim. IDs are not made
        unique: the real kubelet does not either.
        """
        for _, device in self.for_request(request):
            yield from device.cdi_ids

    def for_request(self, request: str) -> Iterator[tuple[str, PreparedDevice]]:
        """Driver and device of all that one container entry means."""
        for driver, devices in self.devices.items():
            for device in devices:
                if not request or not device.requests or request in device.requests:
                    yield driver, device


class ClaimCache:
    """Records by namespace and claim name."""

    def __init__(self, records: Iterable[ClaimRecord] = ()) -> None:
        self._records = {(r.ref.namespace, r.ref.name): r for r in records}

    def __iter__(self) -> Iterator[ClaimRecord]:
        return iter(list(self._records.values()))

    def get(self, namespace: str, name: str) -> ClaimRecord | None:
        """The record of that name, whatever UID it has."""
        return self._records.get((namespace, name))

    def add(self, ref: ClaimRef, drivers: Iterable[str]) -> ClaimRecord:
        """A new record without devices."""
        record = ClaimRecord(ref, {driver: [] for driver in drivers})
        self._records[ref.namespace, ref.name] = record
        return record

    def remove(self, ref: ClaimRef) -> None:
        """Forget a claim that was unprepared."""
        self._records.pop((ref.namespace, ref.name), None)

    def of_pod(self, uid: str) -> list[ClaimRecord]:
        """The claims a pod holds on to."""
        return [record for record in self._records.values() if uid in record.pods]
