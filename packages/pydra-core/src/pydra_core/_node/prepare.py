"""The claim path, from a kubelet's reference to an answer: gate, claim, driver, disk.

Nothing is answered before it is on disk. Whatever goes wrong with one claim becomes its error and no other's.
During a rolling upgrade two instances walk this path: the journal says which of them is at work on a claim.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from pydra_core._api.claims import Claims
from pydra_core._node.checks import check_answer, check_uid, offer_nothing, uses_of
from pydra_core._node.entries import Entries, given_again, taken_whole
from pydra_core._node.works import Answer, Works, error_text, patience
from pydra_core._state.instances import Instances
from pydra_core._state.journal import Journal
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import (
    DeviceAnswer,
    DeviceUse,
    Intent,
    Prepared,
    Record,
    Released,
    ref_of,
)
from pydra_core._state.spec_files import SpecFiles
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import Claim, ClaimRef
from pydra_core.driver import Driver
from pydra_core.errors import (
    ClaimInProgressError,
    DeviceBusyError,
    DriverFailedError,
    HostError,
    PydraError,
)

_log = logging.getLogger(__name__)
_ON_ITS_WAY = 2.0
"""Seconds for which the admission of all pods waits for a device that is being unprepared."""
_DONE = {"prepare": "claim prepared", "unprepare": "claim unprepared"}

_Devices: TypeAlias = tuple[DeviceAnswer, ...]


class ClaimPath:
    """Prepares and unprepares claims for one driver."""

    def __init__(
        self,
        driver: Driver,
        claims: Claims,
        journal: Journal,
        instances: Instances,
        specs: SpecFiles,
        metrics: Metrics,
    ) -> None:
        self._driver = driver
        self._claims = claims
        self._journal = journal
        self._instances = instances
        self._specs = specs
        self._metrics = metrics
        self._works = Works(driver.name)
        self._entries = Entries(driver, instances, specs)
        self.check: Callable[[Claim], None] = lambda _: None
        self.released: Callable[[], None] = lambda: None
        self.check_shared: Callable[[Ledger, Sequence[DeviceUse], str], None] = lambda *_: None
        """Refuses what the other of claims and extended resources has a part of. Called in the journal's thread."""
        self.offered: Callable[[ClaimRef], Claim] = offer_nothing
        """What a device ID of an extended resource stands for: a claim that the API does not know. Raises
        `DeviceError`."""

    async def prepare(self, ref: ClaimRef, deadline: float) -> Answer:
        """Prepare one claim until `deadline` (monotonic seconds). Never raises: the answer holds the error."""
        return await self._join("prepare", ref, deadline, self._prepare)

    async def unprepare(self, ref: ClaimRef, deadline: float) -> Answer:
        """Unprepare one claim; one that is unknown is a success. Never raises, needs no API server."""
        return await self._join("unprepare", ref, deadline, self._unprepare)

    async def settle(self, until: float) -> None:
        """Wait for work in flight until that monotonic time, then cancel what is left."""
        await self._works.settle(until)

    async def _join(
        self,
        kind: str,
        ref: ClaimRef,
        deadline: float,
        step: Callable[[ClaimRef], Awaitable[_Devices]],
    ) -> Answer:
        async def work(ref: ClaimRef) -> Answer:
            return await self._answer(kind, ref, step)

        try:
            return await self._works.join(kind, ref, deadline, work)
        except PydraError as err:
            return self._failed(kind, ref, err)

    async def _answer(
        self, kind: str, ref: ClaimRef, step: Callable[[ClaimRef], Awaitable[_Devices]]
    ) -> Answer:
        """The boundary of one claim."""
        started = time.monotonic()
        try:
            check_uid(ref)
            waits = self._patience if ref.resource else patience
            devices = await self._works.patiently(ref.uid, lambda: step(ref), waits)
        except PydraError as err:
            return self._failed(kind, ref, err)
        except BaseException as err:
            if self._works.gives_up(err):
                raise
            extra = {"claim": str(ref), "uid": ref.uid, "operation": kind}
            _log.exception("driver raised", extra=extra)
            cause = f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
            failed = DriverFailedError(
                f"claim {ref}: driver {self._driver.name} failed to {kind} it: {cause}; the driver's log has the trace"
            )
            return self._failed(kind, ref, failed)
        self._metrics.claim(kind, "")
        self._metrics.prepared.set(len(self._journal.ledger.all_prepared()))
        details = {
            "claim": str(ref),
            "uid": ref.uid,
            "devices": ",".join(d.device for d in devices),
            "ms": round((time.monotonic() - started) * 1000, 2),
        }
        _log.info(_DONE[kind], extra=details)
        return Answer(devices=devices)

    def _patience(self, err: PydraError | OSError) -> float:
        """With one device ID of a pod: all pods of the node wait for it, so only a device on its way out is waited for."""
        if not isinstance(err, DeviceBusyError):
            return patience(err)
        holder = str(err.fields.get("holder"))
        leaves = self._entries.leaves(self._journal.ledger, holder)
        return _ON_ITS_WAY if leaves or self._works.is_leaving(holder) else 0.0

    def _failed(self, kind: str, ref: ClaimRef, err: PydraError) -> Answer:
        self._metrics.claim(kind, err.reason)
        text = error_text(ref, err)
        details = {"operation": kind, "claim": str(ref), "uid": ref.uid, "reason": err.reason}
        _log.warning("claim refused", extra={**details, "why": text})
        return Answer(error=text)

    async def _prepare(self, ref: ClaimRef) -> _Devices:
        """Prepare a claim, unless what was answered still holds; what was interrupted, or others began, is undone first."""
        await self._journal.refresh()
        self._check_turn(ref, ledger := self._journal.ledger)
        prepared = ledger.prepared(ref.uid)
        if prepared and self._still_holds(prepared):
            self._specs.ensure(prepared)
            if ref.resource:
                again = given_again(ref.uid, self._instances.boot)
                await self._journal.transact(again, durable=False, quick=True)
            return prepared.answers
        begun = ledger.intent(ref.uid)
        if begun and (begun.answers or begun.instance != self._instances.me):
            await self._undo(ref, begun)
        self._works.at(ref.uid, "the API server")
        claim = self.offered(ref) if ref.resource else await self._claims.fetch(ref)
        self.check(claim)
        await self._reserve(claim)
        self._works.at(ref.uid, f"driver {self._driver.name}")
        try:
            devices = await self._driver.prepare(claim)
            check_answer(self._driver.name, claim, devices)
            record = self._entries.prepared(claim, devices)
            self._works.at(ref.uid, "the disk")
            lasts, quick = self._entries.must_last(record), bool(ref.resource)
            await self._journal.transact(self._commit(record), durable=lasts, quick=quick)
        except BaseException as err:
            if prepared is None and not self._works.gives_up(
                err
            ):  # else the next process undoes it
                await self._give_up(ref, claim)
            raise
        self._claims.forget(ref.uid)
        return record.answers

    async def _unprepare(self, ref: ClaimRef) -> _Devices:
        await self._journal.refresh()
        self._check_turn(ref, ledger := self._journal.ledger)
        self._claims.forget(ref.uid)
        known = ledger.prepared(ref.uid) or ledger.intent(ref.uid)
        if known is None:
            self._specs.remove(ref.uid)
            return ()
        await self._undo(ref, known)
        self.released()
        return known.answers

    async def _undo(self, ref: ClaimRef, known: Prepared | Intent) -> None:
        """Undo a claim. One sync, before anything changes that the journal still calls prepared."""
        prepared = isinstance(known, Prepared)
        if self._entries.changed(known):
            if isinstance(known, Prepared):
                begin = self._entries.intent(known, answers=known.answers, spec=known.spec)
                await self._journal.transact(lambda _: [begin], durable=True)
                prepared = False  # whatever is lost from here on, the next start undoes it again
            await self._driver.unprepare(self._specs.prepared_claim(known))
        self._works.at(ref.uid, "the disk")
        await self._journal.transact(lambda _: [Released(ref.uid)], durable=prepared)
        self._specs.remove(ref.uid)  # last, so that a failing journal leaves a prepared claim whole

    def _check_turn(self, ref: ClaimRef, ledger: Ledger) -> None:
        """Wait while another instance is at work on the claim; the kubelet may ask both during an upgrade."""
        begun = ledger.intent(ref.uid)
        if begun and self._instances.is_another_at_work(begun.instance, begun.boot):
            self._works.at(ref.uid, "another instance of the driver")
            raise ClaimInProgressError(
                f"claim {ref}: another instance of driver {self._driver.name} is at work on it; the next try finds"
                " it done, or delete that instance's pod",
                instance=begun.instance,
            )

    def _still_holds(self, prepared: Prepared) -> bool:
        """Whether what was prepared is there: hardware forgets in a reboot, device numbers change with a module.

        A claim that was read back from its spec file may lack devices without edits.
        """
        forgotten = self._entries.changed(prepared) and prepared.boot != self._instances.boot
        if prepared.adopted or forgotten:
            return False
        return self._specs.nodes_are_there(prepared, self._driver.host)

    async def _reserve(self, claim: Claim) -> None:
        """Write the intent with the reserved devices; it must be on disk only if hardware will change.

        A claim that is prepared, and has to be prepared again, holds its devices already, as far as they are known.
        """
        changes = self._driver.changes(claim)

        def reserve(ledger: Ledger) -> Sequence[Record]:
            self._check_turn(claim.ref, ledger)
            self._works.check_wanted(claim.ref)
            uses = uses_of(claim)
            try:
                ledger.check_free(claim.uid, uses, is_legacy=bool(claim.ref.resource))
                self.check_shared(ledger, uses, claim.ref.resource)
            except PydraError as err:
                raise type(err)(f"claim {claim.ref}: {err}", **err.fields) from None
            before = ledger.prepared(claim.uid)
            if before and not changes and not self._entries.changed(before):
                return taken_whole(before, uses)
            begun = ledger.intent(claim.uid)
            as_is = self._entries.is_as_is(claim) and not (begun and self._entries.changed(begun))
            known = Prepared(
                *(claim.uid, claim.namespace, claim.name, uses, ()),
                as_is=as_is,
                resource=claim.ref.resource,
            )
            kept = before or known
            intent = self._entries.intent(known, answers=kept.answers, spec=kept.spec)
            return [] if begun == intent else [intent]

        self._works.at(claim.uid, "the disk")
        await self._journal.transact(reserve, durable=changes, quick=bool(claim.ref.resource))

    def _commit(self, record: Prepared) -> Callable[[Ledger], Sequence[Record]]:
        def commit(ledger: Ledger) -> Sequence[Record]:
            begun = ledger.intent(record.uid)
            if not ledger.prepared(record.uid) and (
                begun is None or begun.instance != self._instances.me
            ):
                raise HostError(
                    f"claim {ref_of(record)}: another instance of the driver took it over meanwhile;"
                    " the next try begins anew"
                )
            self._specs.put(record)
            return [record]

        return commit

    async def _give_up(self, ref: ClaimRef, claim: Claim) -> None:
        """Free the devices of a failed prepare, unless the driver may have changed hardware half-way.

        Then the intent stays: the kubelet comes back, to prepare again or to unprepare.
        """

        def give_up(ledger: Ledger) -> Sequence[Record]:
            begun = ledger.intent(ref.uid)
            if begun is None or begun.instance != self._instances.me:
                return []
            self._specs.remove(ref.uid)
            kept = self._entries.changed(begun) and not self._driver.untouched(claim)
            return [] if kept else [Released(ref.uid)]

        try:
            await self._journal.transact(give_up, durable=False)
        except HostError as err:  # the claim keeps its devices until the kubelet comes back
            extra = {"claim": str(ref), "uid": ref.uid, "why": str(err)}
            _log.warning("devices of a failed prepare could not be freed", extra=extra)
