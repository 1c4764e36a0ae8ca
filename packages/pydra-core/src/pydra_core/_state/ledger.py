"""Which device is in whose hands: the last line of defence against giving the same silicon twice.

Pure bookkeeping over journal records; the journal applies a record here once it is on disk, a reservation
already once it is in the file. Claims in progress count like prepared ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydra_core._state.records import DeviceUse, Intent, Prepared, Record, Released, ref_of
from pydra_core._values import PreparedClaim, PreparedDevice
from pydra_core.errors import DeviceBusyError

_RECENT = 1024


@dataclass(frozen=True, slots=True)
class Change:
    """Somebody got a device or let it go, or his record became another; `version` is the ledger's since then."""

    version: int
    device: tuple[str, str]
    share: str
    is_legacy: bool


class _Holders:
    """Who has a device: claim UIDs by share, the whole device being share ``."""

    __slots__ = ("_claims", "_pods")

    def __init__(self) -> None:
        self._claims: dict[str, str] = {}
        self._pods: dict[str, str] = {}

    def set(self, share: str, uid: str, *, is_legacy: bool) -> None:
        (self._pods if is_legacy else self._claims)[share] = uid

    def drop(self, share: str, uid: str) -> None:
        for shares in (self._claims, self._pods):
            if shares.get(share) == uid:
                del shares[share]

    def all(self) -> tuple[str, ...]:
        return (*self._claims.values(), *self._pods.values())

    def excluding(self, share: str, *, is_legacy: bool) -> tuple[str, ...]:
        """Those beside whom nobody can have this share: of the same side they are few."""
        ours, theirs = (self._pods, self._claims) if is_legacy else (self._claims, self._pods)
        same = (ours.get(""), ours.get(share)) if share else tuple(ours.values())
        return (*(uid for uid in same if uid), *theirs.values())


_NOBODY = _Holders()


class Ledger:
    """The state after all records so far."""

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._intents: dict[str, Intent] = {}
        self._holders: dict[tuple[str, str], _Holders] = {}  # by pool and device
        self._recent: deque[Change] = deque(maxlen=_RECENT)
        self.version = 0
        """Grows with each record: whether anything happened since somebody looked."""

    def apply(self, record: Record) -> None:
        """Move on by one record. Idempotent, so a log may be replayed from any earlier point.

        The version is the last to change: others read meanwhile, and must look again if they saw half of it.
        """
        self._drop(record.uid)
        if isinstance(record, Prepared):
            self._prepared[record.uid] = record
        elif isinstance(record, Intent):
            self._intents[record.uid] = record
        if not isinstance(record, Released):
            for use in _exclusive(record.uses):
                holders = self._holders.setdefault((use.pool, use.device), _Holders())
                holders.set(use.share_id, record.uid, is_legacy=bool(record.resource))
                self._note(use, record)
        self.version += 1

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

    def holders(self, pool: str, device: str) -> tuple[Prepared | Intent, ...]:
        """Who has a device, or shares of it."""
        uids = self._holders.get((pool, device), _NOBODY).all()
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
            holders = self._holders.get((use.pool, use.device), _NOBODY)
            for holder in holders.excluding(use.share_id, is_legacy=is_legacy):
                owner = self._prepared.get(holder) or self._intents.get(holder)
                if holder != uid and owner:
                    return use, owner
        return None

    def check_free(self, uid: str, uses: Iterable[DeviceUse], *, is_legacy: bool = False) -> None:
        """Refuse uses that another claim holds.

        Raises:
            DeviceBusyError: names the device and the claim that holds it.
        """
        if found := self.in_the_way(uid, uses, is_legacy=is_legacy):
            raise _busy(*found)

    def since(self, version: int) -> tuple[Change, ...] | None:
        """What happened to devices behind that version; None if it is too long ago to tell."""
        recent = tuple(self._recent)
        if len(recent) == _RECENT and recent[0].version > version:
            return None
        return tuple(change for change in recent if change.version > version)

    def _drop(self, uid: str) -> None:
        gone = self._prepared.pop(uid, None) or self._intents.pop(uid, None)
        if gone is None:
            return
        for use in _exclusive(gone.uses):
            self._holders.get((use.pool, use.device), _NOBODY).drop(use.share_id, uid)
            self._note(use, gone)

    def _note(self, use: DeviceUse, record: Prepared | Intent) -> None:
        device = (use.pool, use.device)
        self._recent.append(Change(self.version + 1, device, use.share_id, bool(record.resource)))


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
