"""The claim path, from a kubelet's reference to an answer: gate, claim, driver, disk.

Per claim one piece of work at a time: a retry joins the one in flight, and work that outlives the kubelet's
deadline goes on, so that the next retry finds it done. Nothing is answered before it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from pydra_core._api.claims import Claims
from pydra_core._node.checks import check_answer, check_uid
from pydra_core._state.journal import Journal
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import DeviceAnswer, DeviceUse, Intent, Prepared, Record, Released
from pydra_core._state.spec_files import SpecFiles
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import Claim, ClaimRef, PreparedDevice
from pydra_core.driver import Driver
from pydra_core.errors import (
    DriverFailedError,
    HostError,
    PrepareTimeoutError,
    PydraError,
    TerminalError,
)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_DONE = {"prepare": "claim prepared", "unprepare": "claim unprepared"}
_ERROR_LIMIT = 1000
"""Characters of an error text; the kubelet puts it into a pod event."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kubelet is told of one claim: devices, or an error text."""

    devices: tuple[DeviceAnswer, ...] = ()
    error: str = ""


@dataclass(slots=True)
class _Work:
    kind: str
    deadline: float
    task: asyncio.Task[Answer]


_Step: TypeAlias = Callable[[ClaimRef], Awaitable[tuple[DeviceAnswer, ...]]]


class ClaimPath:
    """Prepares and unprepares claims for one driver."""

    def __init__(
        self, driver: Driver, claims: Claims, journal: Journal, specs: SpecFiles, metrics: Metrics
    ) -> None:
        self._driver = driver
        self._claims = claims
        self._journal = journal
        self._specs = specs
        self._metrics = metrics
        self._works: dict[str, _Work] = {}

    async def prepare(self, ref: ClaimRef, deadline: float) -> Answer:
        """Prepare one claim until `deadline` (monotonic seconds). Never raises: the answer holds the error."""
        return await self._join("prepare", ref, deadline, self._prepare)

    async def unprepare(self, ref: ClaimRef, deadline: float) -> Answer:
        """Unprepare one claim; one that is unknown is a success. Never raises, needs no API server."""
        return await self._join("unprepare", ref, deadline, self._unprepare)

    async def settle(self, seconds: float) -> None:
        """Wait for work in flight, then cancel what is left."""
        tasks = [work.task for work in self._works.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _join(self, kind: str, ref: ClaimRef, deadline: float, step: _Step) -> Answer:
        try:
            async with asyncio.timeout_at(_loop_time(deadline)):
                while (work := self._works.get(ref.uid)) and work.kind != kind:
                    await asyncio.wait([work.task])
                if work is None:
                    work = self._start(kind, ref, deadline, step)
                work.deadline = max(work.deadline, deadline)
                return await asyncio.shield(work.task)
        except TimeoutError:
            late = PrepareTimeoutError(
                f"claim {ref}: driver {self._driver.name} has not finished to {kind} it within the kubelet's deadline;"
                " its work goes on and the next try joins it"
            )
            return self._failed(kind, ref, late)

    def _start(self, kind: str, ref: ClaimRef, deadline: float, step: _Step) -> _Work:
        task = asyncio.get_running_loop().create_task(self._answer(kind, ref, step))
        work = self._works[ref.uid] = _Work(kind, deadline, task)
        task.add_done_callback(lambda _: self._works.pop(ref.uid, None))
        return work

    async def _answer(self, kind: str, ref: ClaimRef, step: _Step) -> Answer:
        """The boundary of one claim: whatever goes wrong inside becomes this claim's error and no other's."""
        started = time.monotonic()
        try:
            check_uid(ref)
            devices = await step(ref)
        except PydraError as err:
            return self._failed(kind, ref, err)
        except Exception as err:  # noqa: BLE001 (the boundary of one claim)
            _log.exception(
                "driver raised", extra={"claim": str(ref), "uid": ref.uid, "operation": kind}
            )
            cause = f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
            failed = DriverFailedError(
                f"claim {ref}: driver {self._driver.name} failed to {kind} it: {cause}; the driver's log has the trace"
            )
            return self._failed(kind, ref, failed)
        self._metrics.claim(kind, "")
        self._metrics.prepared.set(len(self._journal.ledger.all_prepared()))
        _log.info(
            _DONE[kind],
            extra={
                "claim": str(ref),
                "uid": ref.uid,
                "devices": ",".join(d.device for d in devices),
                "ms": round((time.monotonic() - started) * 1000, 2),
            },
        )
        return Answer(devices=devices)

    def _failed(self, kind: str, ref: ClaimRef, err: PydraError) -> Answer:
        self._metrics.claim(kind, err.reason)
        text = " ".join(str(err).split())[:_ERROR_LIMIT]
        if isinstance(err, TerminalError):
            text = f"TerminalError: {text}"
        _log.warning(
            "claim refused",
            extra={
                "operation": kind,
                "claim": str(ref),
                "uid": ref.uid,
                "reason": err.reason,
                "why": text,
            },
        )
        return Answer(error=text)

    async def _prepare(self, ref: ClaimRef) -> tuple[DeviceAnswer, ...]:
        ledger = self._journal.ledger
        if prepared := ledger.prepared(ref.uid):
            self._specs.ensure(prepared)
            return prepared.answers
        if (begun := ledger.intent(ref.uid)) and begun.answers:
            await self._unprepare(
                ref
            )  # it was interrupted: what it left of the hardware is unknown
        claim = await self._patiently(ref.uid, lambda: self._claims.fetch(ref))
        await self._patiently(ref.uid, lambda: self._reserve(claim))
        try:
            devices = await self._driver.prepare(claim)
            check_answer(self._driver.name, claim, devices)
            record = self._record(claim, devices)
            await self._journal.transact(self._commit(record), durable=True)
        except asyncio.CancelledError:  # at the end of the process only: the next one undoes it
            raise
        except BaseException:
            await self._give_up(ref)
            raise
        self._claims.forget(ref.uid)
        return record.answers

    async def _unprepare(self, ref: ClaimRef) -> tuple[DeviceAnswer, ...]:
        """Undo a claim. One sync, before anything changes that the journal still calls prepared."""
        ledger = self._journal.ledger
        known = ledger.prepared(ref.uid) or ledger.intent(ref.uid)
        self._claims.forget(ref.uid)
        if known is None:
            self._specs.remove(ref.uid)
            return ()
        prepared = isinstance(known, Prepared)
        if self._driver.changes_hardware:
            if isinstance(known, Prepared):
                await self._journal.transact(_begin_undo(known), durable=True)
                prepared = False  # whatever is lost from here on, the next start undoes it again
            await self._driver.unprepare(self._specs.prepared_claim(known))
        await self._journal.transact(lambda _: [Released(ref.uid)], durable=prepared)
        self._specs.remove(ref.uid)  # last, so that a failing journal leaves a prepared claim whole
        return known.answers

    async def _reserve(self, claim: Claim) -> None:
        """Write the intent with the reserved devices; it must be on disk only if hardware will change."""
        intent = Intent(claim.uid, claim.namespace, claim.name, _uses(claim))

        def reserve(ledger: Ledger) -> Sequence[Record]:
            ledger.check_free(claim.uid, intent.uses)
            return [] if ledger.intent(claim.uid) == intent else [intent]

        await self._journal.transact(reserve, durable=self._driver.changes_hardware)

    def _record(self, claim: Claim, devices: Sequence[PreparedDevice]) -> Prepared:
        rendered = self._specs.render(claim.uid, devices)
        return Prepared(
            uid=claim.uid,
            namespace=claim.namespace,
            name=claim.name,
            uses=_uses(claim),
            answers=rendered.answers,
            spec=rendered.spec,
        )

    def _commit(self, record: Prepared) -> Callable[[Ledger], Sequence[Record]]:
        def commit(_: Ledger) -> Sequence[Record]:
            self._specs.ensure(record)
            return [record]

        return commit

    async def _give_up(self, ref: ClaimRef) -> None:
        """Free the devices of a failed prepare, unless the driver may have changed hardware half-way.

        Then the intent stays: the kubelet comes back, to prepare again or to unprepare.
        """

        def give_up(_: Ledger) -> Sequence[Record]:
            self._specs.remove(ref.uid)
            return [] if self._driver.changes_hardware else [Released(ref.uid)]

        try:
            await self._journal.transact(give_up, durable=False)
        except HostError as err:  # the claim keeps its devices until the kubelet comes back
            details = {"claim": str(ref), "uid": ref.uid, "why": str(err)}
            _log.warning("devices of a failed prepare could not be freed", extra=details)

    async def _patiently(self, uid: str, call: Callable[[], Awaitable[_T]]) -> _T:
        """Retry what passes by itself, within the deadline and the error's own patience."""
        started, delay = time.monotonic(), 0.05
        while True:
            try:
                return await call()
            except PydraError as err:
                wait = getattr(err, "retry_after", None) or delay
                now = time.monotonic()
                until = min(self._works[uid].deadline, started + err.patience)
                if isinstance(err, TerminalError) or now + wait >= until:
                    raise
                _log.debug("retrying", extra={"uid": uid, "reason": err.reason, "seconds": wait})
                await asyncio.sleep(wait)
                delay = min(delay * 2, 2.0)


def _begin_undo(known: Prepared) -> Callable[[Ledger], Sequence[Record]]:
    undo = Intent(
        known.uid, known.namespace, known.name, known.uses, answers=known.answers, spec=known.spec
    )
    return lambda _: [undo]


def _uses(claim: Claim) -> tuple[DeviceUse, ...]:
    return tuple(
        DeviceUse(pool=a.pool, device=a.device, share_id=a.share_id, admin=a.admin_access)
        for a in claim.allocations
    )


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + deadline - time.monotonic()
