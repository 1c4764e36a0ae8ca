"""Which device is in whose hands: the last line of defence against giving the same silicon twice.

Pure bookkeeping over journal records; the journal applies a record here once it is on disk, a reservation
already once it is in the file. Claims in progress count like prepared ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydra_core._state.records import DeviceUse, Intent, Prepared, Record, Released, ref_of
from pydra_core._values import PreparedClaim, PreparedDevice
from pydra_core.errors import DeviceBusyError


class Ledger:
    """The state after all records so far."""

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._intents: dict[str, Intent] = {}
        self._holders: dict[
            tuple[str, str], dict[str, str]
        ] = {}  # (pool, device) -> share -> claim UID

    def apply(self, record: Record) -> None:
        """Move on by one record. Idempotent, so a log may be replayed from any earlier point."""
        self._drop(record.uid)
        if isinstance(record, Prepared):
            self._prepared[record.uid] = record
        elif isinstance(record, Intent):
            self._intents[record.uid] = record
        if not isinstance(record, Released):
            for use in _exclusive(record.uses):
                self._holders.setdefault((use.pool, use.device), {})[use.share_id] = record.uid

    def prepared(self, uid: str) -> Prepared | None:
        return self._prepared.get(uid)

    def intent(self, uid: str) -> Intent | None:
        return self._intents.get(uid)

    def all_prepared(self) -> tuple[Prepared, ...]:
        return tuple(self._prepared.values())

    def all_intents(self) -> tuple[Intent, ...]:
        return tuple(self._intents.values())

    def records(self) -> Iterator[Record]:
        """The shortest log that leads to this state."""
        yield from self._prepared.values()
        yield from self._intents.values()

    def held(self) -> tuple[PreparedClaim, ...]:
        """The claims that hold devices, begun ones too, with what is known of the devices but their edits."""
        known: tuple[Prepared | Intent, ...] = (*self.all_prepared(), *self.all_intents())
        return tuple(map(_held, known))

    def legacy(self) -> tuple[Prepared | Intent, ...]:
        """What pods have of extended resources, or are just getting: `resource` and, as `name`, the device ID."""
        known: tuple[Prepared | Intent, ...] = (*self.all_prepared(), *self.all_intents())
        return tuple(record for record in known if record.resource)

    def check_free(self, uid: str, uses: Iterable[DeviceUse]) -> None:
        """Refuse uses that another claim holds.

        Raises:
            DeviceBusyError: names the device and the claim that holds it.
        """
        for use in _exclusive(uses):
            for share, holder in self._holders.get((use.pool, use.device), {}).items():
                if holder != uid and ("" in (share, use.share_id) or share == use.share_id):
                    raise self._busy(use, holder)

    def _busy(self, use: DeviceUse, holder: str) -> DeviceBusyError:
        owner = self._prepared.get(holder) or self._intents[holder]
        return DeviceBusyError(
            f"device {use.device!r} of pool {use.pool!r}: still in the hands of claim"
            f" {owner.namespace}/{owner.name} (UID {holder}); it is free once that claim's last pod is gone",
            device=use.device,
            holder=holder,
        )

    def _drop(self, uid: str) -> None:
        gone = self._prepared.pop(uid, None) or self._intents.pop(uid, None)
        for use in _exclusive(gone.uses) if gone else ():
            shares = self._holders.get((use.pool, use.device), {})
            if shares.get(use.share_id) == uid:
                del shares[use.share_id]


def _exclusive(uses: Iterable[DeviceUse]) -> Iterator[DeviceUse]:
    """Admin access excludes nobody. A share excludes itself and whoever wants the whole device."""
    return (use for use in uses if not use.admin)


def _held(record: Prepared | Intent) -> PreparedClaim:
    ref = ref_of(record)
    state = {(a.pool, a.device, a.share_id): (a.request, a.state) for a in record.answers}
    nothing: tuple[str, dict[str, object]] = ("", {})
    devices = []
    for use in _exclusive(record.uses):
        request, known = state.get((use.pool, use.device, use.share_id), nothing)
        device = PreparedDevice(
            request=request, pool=use.pool, device=use.device, share_id=use.share_id, state=known
        )
        devices.append(device)
    return PreparedClaim(ref=ref, devices=tuple(devices))
