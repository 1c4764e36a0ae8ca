"""The scheduler as a component: watches, decides about one pod at a time, writes, tries again.

Started by the cluster. Decisions are made from local copies; the answers to its own writes go into them at
once, so that no device is given twice while a watch catches up.
"""

from __future__ import annotations

import asyncio
import logging

from pydra_testbed.clock import Clock
from pydra_testbed.objects import Api, KubeObject, key_of
from pydra_testbed.reflector import Change, Reflectors
from pydra_testbed.scheduler.changes import (
    concerns_its_pods,
    frees_devices,
    frees_resources,
    is_new_to_pods,
    is_relevant_to_itself,
)
from pydra_testbed.scheduler.cycle import SCHEDULER_ERROR, Bind, Failed, Gated, decide
from pydra_testbed.scheduler.events import SchedulingEvents
from pydra_testbed.scheduler.pending import PendingPods, is_pending
from pydra_testbed.scheduler.view import RESOURCES, ClusterView
from pydra_testbed.scheduler.writer import WriteFailedError, Writer

_log = logging.getLogger(__name__)


class Scheduler:
    """Gives pods without a node one that has the devices they claim."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._clock = clock
        self._seen = Reflectors(api, clock, RESOURCES, self._on_change)
        self._view = ClusterView(self._seen)
        self._pending = PendingPods()
        self._writer = Writer(api, clock, self._seen["resourceclaims"], self._seen["pods"])
        self._events = SchedulingEvents(api, clock)
        self._wake = asyncio.Event()
        self._alarm_at: float | None = None

    async def run(self) -> None:
        """Schedule until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._seen.run())
            await self._seen.synced()
            while True:
                self._wake.clear()
                await self._schedule_ready()
                self._set_alarm(group)
                await self._wake.wait()

    async def _schedule_ready(self) -> None:
        while (key := self._pending.next(self._clock.monotonic())) is not None:
            pod = self._seen["pods"].get(key)
            if pod is None or not is_pending(pod):
                self._pending.drop(key)
                continue
            await self._schedule(key, pod)
            await self._clock.sleep(0)  # A local API never waits: let others run.

    async def _schedule(self, key: str, pod: KubeObject) -> None:
        decision = decide(pod, self._view.snapshot())
        if isinstance(decision, Gated):
            self._pending.gated(key)
            _log.debug("pod waits for its claims", extra={"pod": key, "why": decision.why})
            return
        if isinstance(decision, Bind):
            try:
                await self._writer.bind(pod, decision)
            except WriteFailedError as problem:
                decision = Failed(SCHEDULER_ERROR, str(problem))
            else:
                self._pending.drop(key)
                await self._events.scheduled(pod, decision.node)
                return
        is_error = decision.reason == SCHEDULER_ERROR
        self._pending.failed(key, self._clock.monotonic(), retry=is_error)
        if decision.deallocate:
            await self._writer.deallocate(decision.deallocate)
        if await self._writer.explain(pod, decision):
            await self._events.failed(pod, decision.message)

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
