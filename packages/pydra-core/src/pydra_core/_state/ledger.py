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
        self.version = 0
        """Grows with each record: whether anything happened since somebody looked."""

    def apply(self, record: Record) -> None:
        """Move on by one record. Idempotent, so a log may be replayed from any earlier point."""
        self.version += 1
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

    def held_devices(self) -> dict[tuple[str, str], frozenset[str]]:
        """The UIDs of those that hold each device, by pool and device."""
        return {
            device: frozenset(shares.values())
            for device, shares in tuple(self._holders.items())
            if shares
        }

    def holders(self, pool: str, device: str) -> tuple[Prepared | Intent, ...]:
        """Who has a device, or shares of it."""
        uids = tuple(self._holders.get((pool, device), {}).values())
        found = (self._prepared.get(uid) or self._intents.get(uid) for uid in uids)
        return tuple(record for record in found if record)

    def in_the_way(
        self, uid: str, uses: Iterable[DeviceUse], *, is_legacy: bool = False
    ) -> tuple[DeviceUse, Prepared | Intent] | None:
        """The first of the uses that another claim holds, and who; None if all are free.

        Shares of one device exclude each other only where a claim of the API has one and a pod with an extended
        resource wants another, or the other way round: nobody counts what they take together.
        """
        for use in _exclusive(uses):
            shares = self._holders.get((use.pool, use.device), {})
            for share, holder in tuple(shares.items()):
                owner = self._prepared.get(holder) or self._intents.get(holder)
                if holder == uid or owner is None:
                    continue
                if "" in (share, use.share_id) or share == use.share_id:
                    return use, owner
                if bool(owner.resource) != is_legacy:
                    return use, owner
        return None

    def check_free(self, uid: str, uses: Iterable[DeviceUse], *, is_legacy: bool = False) -> None:
        """Refuse uses that another claim holds.

        Raises:
            DeviceBusyError: names the device and the claim that holds it.
        """
        if found := self.in_the_way(uid, uses, is_legacy=is_legacy):
            raise _busy(*found)

    def _drop(self, uid: str) -> None:
        gone = self._prepared.pop(uid, None) or self._intents.pop(uid, None)
        for use in _exclusive(gone.uses) if gone else ():
            shares = self._holders.get((use.pool, use.device), {})
            if shares.get(use.share_id) == uid:
                del shares[use.share_id]


def _busy(use: DeviceUse, owner: Prepared | Intent) -> DeviceBusyError:
    who = (
        f"a pod that has it as {owner.name!r} of resource {owner.resource}; it is free once that pod is gone"
        if owner.resource
        else f"claim {owner.namespace}/{owner.name} (UID {owner.uid}); it is free once that claim's last pod is gone"
    )
    return DeviceBusyError(
        f"device {use.device!r} of pool {use.pool!r}: still in the hands of {who}",
        device=use.device,
        holder=owner.uid,
    )


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
