"""The scheduler as a component: watches, decides about one pod at a time, writes, tries again.

Started by the cluster. Decisions are made from local copies; the answers to its own writes go into them at
once, so that no device is given twice while a watch catches up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from pydra_testbed.clock import Clock
from pydra_testbed.objects import Api, KubeObject, key_of
from pydra_testbed.reflector import Change, Reflectors
from pydra_testbed.scheduler import binding
from pydra_testbed.scheduler.changes import (
    concerns_its_pods,
    frees_devices,
    frees_resources,
    is_new_to_pods,
    is_relevant_to_itself,
)
from pydra_testbed.scheduler.changing import WriteFailedError
from pydra_testbed.scheduler.cycle import SCHEDULER_ERROR, Failed, Gated, decide
from pydra_testbed.scheduler.dice import Dice, first_of
from pydra_testbed.scheduler.events import SchedulingEvents
from pydra_testbed.scheduler.features import Features
from pydra_testbed.scheduler.pending import PendingPods, is_pending
from pydra_testbed.scheduler.view import ClusterView, resources
from pydra_testbed.scheduler.writer import Writer

_log = logging.getLogger(__name__)


class Scheduler:
    """Gives pods without a node one that has the devices they claim."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        *,
        gates: Mapping[str, bool] | None = None,
        dice: Dice = first_of,
    ) -> None:
        self._clock = clock
        self._features = Features.of(gates or {})
        self._dice = dice
        self._seen = Reflectors(api, clock, resources(self._features), self._on_change)
        self._view = ClusterView(self._seen, clock, self._features)
        self._pending = PendingPods()
        self._writer = Writer(api, clock, self._seen["resourceclaims"], self._seen["pods"])
        self._events = SchedulingEvents(api, clock)
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._alarm_at: float | None = None

    async def run(self) -> None:
        """Schedule until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._seen.run())
            await self._seen.synced()
            while True:
                self._wake.clear()
                await self._schedule_ready(group)
                self._set_alarm(group)
                await self._wake.wait()

    async def _schedule_ready(self, group: asyncio.TaskGroup) -> None:
        while (key := self._pending.next(self._clock.monotonic())) is not None:
            pod = self._seen["pods"].get(key)
            if pod is None or not is_pending(pod):
                self._pending.drop(key)
                continue
            await self._schedule(group, key, pod)
            await self._clock.sleep(0)  # A local API never waits: let others run.

    async def _schedule(self, group: asyncio.TaskGroup, key: str, pod: KubeObject) -> None:
        decision = decide(pod, self._view.snapshot(), self._dice)
        if isinstance(decision, Gated):
            self._pending.gated(key)
            _log.debug("pod waits for its claims", extra={"pod": key, "why": decision.why})
            return
        if isinstance(decision, Failed):
            await self._fail(key, pod, decision)
            return
        try:
            claims = await self._writer.reserve(pod, decision)
        except WriteFailedError as problem:
            await self._fail(key, pod, Failed(SCHEDULER_ERROR, str(problem)))
            return
        made = claims[-1] if decision.special is not None else ""
        if self._features.binding_conditions and self._has_conditions(claims):
            self._pending.drop(key)
            await self._events.waiting(pod, decision.node)
            waiting = self._wait(key, pod, decision.node, claims)
            self._waiting[key] = group.create_task(waiting)
        else:
            await self._bind(key, pod, decision.node, claims, made)

    async def _fail(self, key: str, pod: KubeObject, decision: Failed) -> None:
        retry = decision.reason == SCHEDULER_ERROR or bool(decision.delete)
        self._pending.failed(key, self._clock.monotonic(), retry=retry)
        if decision.deallocate:
            await self._writer.deallocate(decision.deallocate)
        if decision.delete:
            await self._writer.delete(decision.delete)
        if await self._writer.explain(pod, decision):
            await self._events.failed(pod, decision.message)

    async def _bind(
        self, key: str, pod: KubeObject, node: str, claims: Sequence[str], made: str = ""
    ) -> None:
        try:
            await self._writer.give_node(pod, node)
        except WriteFailedError as problem:
            await self._writer.release(pod, claims, made)
            await self._fail(key, pod, Failed(SCHEDULER_ERROR, str(problem)))
        else:
            self._pending.drop(key)
            await self._events.scheduled(pod, node)

    def _has_conditions(self, claims: Sequence[str]) -> bool:
        known = (self._seen["resourceclaims"].get(key) for key in claims)
        return any(claim is not None and binding.has_conditions(claim) for claim in known)

    async def _wait(self, key: str, pod: KubeObject, node: str, claims: Sequence[str]) -> None:
        """Bind the pod once its devices are ready, or give its reservations back."""
        failure = await self._until_ready(claims)
        self._waiting.pop(key, None)
        if not failure:
            await self._bind(key, pod, node, claims)
            return
        await self._writer.release(pod, claims)
        self._pending.add(pod)
        message = f'running PreBind plugin "DynamicResources": {failure}'
        await self._fail(key, pod, Failed(SCHEDULER_ERROR, message))
        self._wake.set()

    async def _until_ready(self, claims: Sequence[str]) -> str:
        """Why waiting is over without success, empty when all devices are ready."""
        end = self._clock.monotonic() + binding.TIMEOUT
        while True:
            known = [self._seen["resourceclaims"].get(key) for key in claims]
            try:
                if all(claim is not None and binding.is_ready(claim) for claim in known):
                    return ""
            except binding.BindingFailedError as problem:
                return str(problem)
            if self._clock.monotonic() >= end:
                return "device binding timeout"
            await self._clock.sleep(binding.PERIOD)

    def _set_alarm(self, group: asyncio.TaskGroup) -> None:
        """Wake up for the next pod whose pause ends."""
        due = self._pending.next_due()
        if due is None or (self._alarm_at is not None and self._alarm_at <= due):
            return
        self._alarm_at = due
        group.create_task(self._ring(due))

    async def _ring(self, due: float) -> None:
        await self._clock.sleep(max(due - self._clock.monotonic(), 0.0))
        if self._alarm_at == due:
            self._alarm_at = None
        self._wake.set()

    def _on_change(self, change: Change) -> None:
        self._view.changed(change)
        match change.resource:
            case "pods":
                self._pod_changed(change)
            case "resourceclaims":
                self._claim_changed(change)
            case _:
                if is_new_to_pods(change):
                    self._pending.retry_all()
                    self._wake.set()

    def _pod_changed(self, change: Change) -> None:
        pod = change.new
        key = key_of(change.object)
        if key in self._waiting:
            if pod is None or not is_pending(pod):
                self._waiting.pop(key).cancel()
            return
        if frees_resources(change):
            self._pending.retry_all()
            self._wake.set()
        if pod is None or not is_pending(pod):
            self._pending.drop(key_of(change.object))
        elif is_relevant_to_itself(change):
            self._pending.add(pod)
            self._wake.set()

    def _claim_changed(self, change: Change) -> None:
        if frees_devices(change):
            self._pending.retry_all()
            self._wake.set()
        elif concerns_its_pods(change) and self._pending.retry_users(key_of(change.object)):
            self._wake.set()
