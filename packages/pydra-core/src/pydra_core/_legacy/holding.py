"""Gives device IDs to containers and takes them back: each is a claim of our own making on the ordinary claim path.

The kubelet never says that a pod has gone. `held` and `release` are for whoever finds out; `server` calls the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import msgspec

from pydra_core._api.wanted import Key
from pydra_core._legacy.units import Offer, Offering, Unit
from pydra_core._node.prepare import ClaimPath
from pydra_core._node.works import Answer
from pydra_core._state.journal import Journal
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import DeviceUse, Intent, Prepared, Record, ref_of
from pydra_core._values import Claim, ClaimRef
from pydra_core.errors import DeviceError, DeviceGoneError, HostError

_log = logging.getLogger(__name__)
_UNDO = 40.0
"""Seconds until an undoing is given up; what is left is released like a pod's that has gone."""
_UNDO_FIRST = 2.0
"""Of these, seconds for which the answer waits, so that usually nothing is left when it is given."""


@dataclass(frozen=True, slots=True)
class Held:
    """An ID that is in the hands of a pod, or was left there.

    Attributes:
        ref: The claim that stands for it.
        since: When a container got it last, in seconds since the node's boot (CLOCK_BOOTTIME); 0 if that was in another
            boot, or if giving it never came to an end.
        keys: The devices.
    """

    ref: ClaimRef
    since: float
    keys: tuple[Key, ...]

    @property
    def resource(self) -> str:
        return self.ref.resource

    @property
    def id(self) -> str:
        return self.ref.name


class Holdings:
    """The device IDs of one driver on one node, and who may have them."""

    def __init__(self, claims: ClaimPath, journal: Journal, offering: Offering, boot: str) -> None:
        """Begin.

        Args:
            claims: the claim path, which asks `offered` here.
            journal: where it writes.
            offering: knows what is our claim for an ID.
            boot: the node's boot ID.
        """
        self.offer = Offer()
        self._claims = claims
        self._journal = journal
        self._offering = offering
        self._boot = boot
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._undoing: set[asyncio.Task[None]] = set()
        claims.offered = self._claim

    async def allocate(
        self,
        resource: str,
        ids: Sequence[str],
        deadline: float,
        check: Callable[[Sequence[Prepared]], None] = lambda _: None,
    ) -> tuple[Prepared, ...]:
        """Prepare the IDs for one container, all or none; what is prepared already stays as it is.

        Args:
            resource: whose IDs.
            ids: in the order of the answer.
            deadline: monotonic seconds.
            check: raises `PydraError` if what is prepared is of no use; then it counts as failed.

        Raises:
            DeviceGoneError: an ID is not offered (any more).
            HostError: one could not be prepared; the text is that of its own error.
        """
        refs = [self._offering.ref(resource, each) for each in ids]
        async with self._locked(refs):
            await self._journal.refresh()
            for ref in refs:
                await self._let_go_of_others(ref)
            fresh = [ref for ref in refs if self._journal.ledger.prepared(ref.uid) is None]
            try:
                given = await self._each(refs, deadline)
                check(given)
            except BaseException:
                await self._undo(fresh)
                raise
            return given

    async def ensure(self, resource: str, ids: Sequence[str], deadline: float) -> None:
        """See that what a container got is there before it starts, again or after a reboot (PreStartContainer).

        Raises:
            DeviceError: an ID stands for other devices by now.
            HostError: one could not be prepared again.
        """
        refs = [self._offering.ref(resource, each) for each in ids]
        async with self._locked(refs):
            await self._journal.refresh()
            before = {ref.uid: self._journal.ledger.prepared(ref.uid) for ref in refs}
            for ref, given in zip(refs, await self._each(refs, deadline), strict=True):
                known = before[ref.uid]
                if known and not known.adopted and _differs(known, given):
                    raise _otherwise(ref)

    def held(self) -> tuple[Held, ...]:
        """All IDs that pods have by the journal, those that are being given or undone among them."""
        return tuple(self._held(record) for record in self._journal.ledger.legacy())

    async def release(self, held: Held) -> str:
        """Unprepare an ID that no pod has any more; nothing happens if a container got it since `held` was looked up.

        Returns:
            The error's text; empty if it is released, or was given again.
        """
        async with self._locked([held.ref]):
            await self._journal.refresh()
            ledger = self._journal.ledger
            known = ledger.prepared(held.ref.uid) or ledger.intent(held.ref.uid)
            if known is None or self._held(known) != held:
                return ""
            return (await self._claims.unprepare(held.ref, time.monotonic() + _UNDO)).error

    async def adopt(self) -> None:
        """Recognise our own claims among those that were read back from spec files, which do not tell."""
        await self._journal.transact(self._adopted, durable=False)

    async def close(self, grace: float) -> None:
        """Wait so many seconds for what is being undone; the next process goes on with the rest."""
        left = tuple(self._undoing)
        if left:
            _, late = await asyncio.wait(left, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _each(self, refs: Sequence[ClaimRef], deadline: float) -> tuple[Prepared, ...]:
        unique = {ref.uid: ref for ref in refs}
        answers = await asyncio.gather(
            *(self._claims.prepare(ref, deadline) for ref in unique.values())
        )
        for ref, answer in zip(unique.values(), answers, strict=True):
            _check(ref, answer)
        return tuple(self._prepared(ref) for ref in refs)

    def _prepared(self, ref: ClaimRef) -> Prepared:
        found = self._journal.ledger.prepared(ref.uid)
        if found is None:
            raise HostError(
                f"claim {ref}: another instance of the driver released it meanwhile; delete the pod"
            )
        return found

    async def _let_go_of_others(self, ref: ClaimRef) -> None:
        """An ID that stood for other devices when it was given: its pod is gone, or the kubelet would not give it."""
        unit, known = self._unit(ref), self._journal.ledger.prepared(ref.uid)
        if known is None or _places(known.uses) == _places(unit.uses):
            return
        if not (known.adopted and _places(known.uses) <= _places(unit.uses)):
            _check(ref, await self._claims.unprepare(ref, time.monotonic() + _UNDO))

    async def _undo(self, refs: Iterable[ClaimRef]) -> None:
        """Unprepare what a failed call began; what takes long goes on behind the answer."""
        for ref in refs:
            task = asyncio.ensure_future(self._undo_one(ref))
            self._undoing.add(task)
            task.add_done_callback(self._undoing.discard)
        if self._undoing:
            await asyncio.wait(tuple(self._undoing), timeout=_UNDO_FIRST)

    async def _undo_one(self, ref: ClaimRef) -> None:
        answer = await self._claims.unprepare(ref, time.monotonic() + _UNDO)
        if answer.error:
            extra = {"claim": str(ref), "why": answer.error}
            _log.warning("device of a failed call not released yet", extra=extra)

    @contextlib.asynccontextmanager
    async def _locked(self, refs: Iterable[ClaimRef]) -> AsyncIterator[None]:
        """Nobody else gives or releases these meanwhile."""
        async with contextlib.AsyncExitStack() as stack:
            for uid in sorted({ref.uid for ref in refs}):
                lock = self._locks.get(uid) or asyncio.Lock()
                self._locks[uid] = lock
                await stack.enter_async_context(lock)
            yield

    def _unit(self, ref: ClaimRef) -> Unit:
        unit = self.offer.find(ref)
        if unit is None:
            raise DeviceGoneError(
                f"claim {ref}: the driver does not offer it (any more); delete the pod, so that it gets another, and"
                " look at the driver's log if the device should be there",
                device=ref.name,
            )
        return unit

    def _claim(self, ref: ClaimRef) -> Claim:
        """What is prepared for an ID; never other devices than its pod was told of, or its container would have those."""
        unit, known = self._unit(ref), self._journal.ledger.prepared(ref.uid)
        if known and not known.adopted and _places(known.uses) != _places(unit.uses):
            raise _otherwise(ref)
        return unit.claim

    def _held(self, record: Prepared | Intent) -> Held:
        is_known = isinstance(record, Prepared) and record.boot == self._boot
        since = record.given / 1000 if isinstance(record, Prepared) and is_known else 0.0
        return Held(ref_of(record), since, tuple((u.pool, u.device) for u in record.uses))

    def _adopted(self, ledger: Ledger) -> Sequence[Record]:
        ours = {unit.ref.uid: unit.ref for unit in self.offer.all_units()}
        return [
            msgspec.structs.replace(record, name=ref.name, resource=ref.resource)
            for record in ledger.all_prepared()
            if record.adopted and not record.resource and (ref := ours.get(record.uid))
        ]


def _check(ref: ClaimRef, answer: Answer) -> None:
    if answer.error:
        raise HostError(answer.error, device=ref.name)


def _otherwise(ref: ClaimRef) -> DeviceError:
    return DeviceError(
        f"claim {ref}: is prepared in another way than when its pod was admitted, and the kubelet keeps what it was"
        " told then; delete the pod, so that a new one is admitted",
        device=ref.name,
    )


def _differs(before: Prepared, after: Prepared) -> bool:
    """Whether a container that was told of the one would not find it in the other."""
    names = [answer.cdi_ids for answer in before.answers]
    return names != [answer.cdi_ids for answer in after.answers]


def _places(uses: Iterable[DeviceUse]) -> set[tuple[str, str, str]]:
    """Which devices and shares they are, however much they take of them."""
    return {(use.pool, use.device, use.share_id) for use in uses}
