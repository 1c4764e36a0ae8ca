"""The Job controller: pods until enough of them have succeeded, each counted once (batch/v1, NonIndexed).

Started by the cluster. Left out: indexed Jobs, pod failure and success policies, deadlines, suspension, time
to live.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.controllers.base import Controller
from pydra_testbed.controllers.jobstatus import (
    TRACKING,
    Progress,
    is_finished,
    outcome,
    progress,
    status_of,
)
from pydra_testbed.controllers.owned import PodMaker, is_leaving, owned_by, owner_key, pod_from
from pydra_testbed.controllers.podclaims import controller_uid
from pydra_testbed.objects import (
    Api,
    KubeObject,
    ObjectRef,
    Patch,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from pydra_testbed.recorder import EventRecorder
from pydra_testbed.reflector import Change

# Changes of pods are gathered for this long, as the real controller does.
_BATCH = 1.0
_BACKOFF = 10.0
_BACKOFF_CAP = 600.0
_ORPHAN = "orphan:"


class JobController(Controller):
    """Reconciles Jobs."""

    resources: ClassVar[tuple[str, ...]] = ("jobs", "pods")

    def __init__(self, api: Api, clock: Clock) -> None:
        super().__init__(api, clock)
        self._events = EventRecorder(api, clock, "job-controller")
        self._maker = PodMaker(api, self._events)

    def on_change(self, change: Change) -> None:
        if change.resource == "jobs":
            self._job_changed(change)
            return
        if job := owner_key(change.object, "Job"):
            self.queue.add_after(job, _BATCH)
            if change.new is not None and self.seen["jobs"].get(job) is None:
                self.queue.add_after(_ORPHAN + key_of(change.new), _BATCH)

    def _job_changed(self, change: Change) -> None:
        key = key_of(change.object)
        old, new = change.old, change.new
        if new is None:
            for pod in owned_by(change.object, self.seen["pods"]):
                self.queue.add(_ORPHAN + key_of(pod))
        elif old is None or old["metadata"].get("generation") != new["metadata"].get("generation"):
            self.queue.add(key)
        else:
            self.queue.add_after(key, _BATCH)

    async def reconcile(self, key: str) -> None:
        if key.startswith(_ORPHAN):
            await self._let_go(key.removeprefix(_ORPHAN))
            return
        job = self.seen["jobs"].get(key)
        if job is None or is_leaving(job) or is_finished(job):
            return
        now = progress(job, owned_by(job, self.seen["pods"]))
        now = await self._manage(job, now)
        job = await self._write(job, now, counted=False)
        for pod in now.uncounted:
            await self._untrack(pod)
        if now.uncounted or outcome(job, now):
            job = await self._write(job, now, counted=True)
        if is_finished(job):
            await self._announce(job, now)

    async def _manage(self, job: KubeObject, now: Progress) -> Progress:
        """As many pods as may run beside each other and are still needed."""
        if outcome(job, now):
            for pod in now.active:
                await self._maker.delete(job, pod)
            return progress(job, owned_by(job, self.seen["pods"]))
        wanted = int(job["spec"]["parallelism"])
        if (completions := job["spec"].get("completions")) is not None:
            wanted = min(wanted, completions - now.successes)
        missing = wanted - len(now.active) - now.leaving
        if missing > 0 and (pause := self._pause(job, now)) > 0:
            self.queue.add_after(key_of(job), pause)
            return now
        for _ in range(missing):
            pod = pod_from(job, _labels(job))
            pod["metadata"]["finalizers"] = [TRACKING]
            self.seen["pods"].offer(await self._maker.create(job, pod))
        return progress(job, owned_by(job, self.seen["pods"]))

    def _pause(self, job: KubeObject, now: Progress) -> float:
        """After a failure 10 s from the pod's end, doubled for each further one; none if no end is known."""
        ends = [_end(pod) for pod in owned_by(job, self.seen["pods"]) if _has_failed(pod)]
        last = max((end for end in ends if end is not None), default=None)
        if last is None or not now.failures:
            return 0.0
        pause: float = min(_BACKOFF * 2.0 ** min(now.failures - 1, 20), _BACKOFF_CAP)
        return pause - (self.clock.now() - last).total_seconds()

    async def _write(self, job: KubeObject, now: Progress, *, counted: bool) -> KubeObject:
        status = status_of(job, now, rfc3339(self.clock.now()), counted=counted)
        if status == job.get("status"):
            return job
        written = await self.api.update("jobs", {**job, "status": status}, "status")
        self.seen["jobs"].offer(written)
        return written

    async def _announce(self, job: KubeObject, now: Progress) -> None:
        if outcome(job, now) and now.successes:
            await self._events.record(job, "Normal", "Completed", "Job completed")
        else:
            text = "Job has reached the specified backoff limit"
            await self._events.record(job, "Warning", "BackoffLimitExceeded", text)

    async def _let_go(self, key: str) -> None:
        """A pod whose Job is gone is not tracked any more."""
        pod = self.seen["pods"].get(key)
        job = self.seen["jobs"].get(owner_key(pod, "Job")) if pod else None
        if pod is not None and (job is None or uid_of(job) != controller_uid(pod)):
            await self._untrack(pod)

    async def _untrack(self, pod: KubeObject) -> None:
        held = pod["metadata"].get("finalizers") or []
        if TRACKING not in held:
            return
        left = [name for name in held if name != TRACKING]
        ref = ObjectRef("pods", name_of(pod), namespace_of(pod))
        self.seen["pods"].offer(
            await self.api.patch(ref, Patch({"metadata": {"finalizers": left or None}}))
        )


def _labels(job: KubeObject) -> dict[str, str]:
    return {
        "batch.kubernetes.io/controller-uid": uid_of(job),
        "batch.kubernetes.io/job-name": name_of(job)[:63],
        "controller-uid": uid_of(job),
        "job-name": name_of(job)[:63],
    }


def _has_failed(pod: KubeObject) -> bool:
    return (pod.get("status") or {}).get("phase") == "Failed"


def _end(pod: KubeObject) -> datetime | None:
    """When the last container ended, as the kubelet reported it."""
    ends = [
        datetime.fromisoformat(status["state"]["terminated"]["finishedAt"])
        for status in pod["status"].get("containerStatuses") or ()
        if "terminated" in (status.get("state") or {})
    ]
    return max(ends, default=None)
