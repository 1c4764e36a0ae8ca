"""What a Job has achieved so far, as its status says it (batch/v1 JobStatus)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydra_testbed.controllers.owned import is_leaving, is_over, ready_since
from pydra_testbed.objects import KubeObject, uid_of

TRACKING = "batch.kubernetes.io/job-tracking"
_SUCCESS = ("SuccessCriteriaMet", "Complete", "CompletionsReached")
_FAILURE = ("FailureTarget", "Failed", "BackoffLimitExceeded")


@dataclass(frozen=True, slots=True)
class Progress:
    """A Job's pods by what they did; counted ones have lost their finalizer already."""

    active: tuple[KubeObject, ...]
    leaving: int
    succeeded: tuple[KubeObject, ...]
    failed: tuple[KubeObject, ...]
    counted_succeeded: int
    counted_failed: int

    @property
    def uncounted(self) -> tuple[KubeObject, ...]:
        return (*self.succeeded, *self.failed)

    @property
    def successes(self) -> int:
        return self.counted_succeeded + len(self.succeeded)

    @property
    def failures(self) -> int:
        return self.counted_failed + len(self.failed)


def progress(job: KubeObject, pods: Sequence[KubeObject]) -> Progress:
    """Where the Job stands."""
    fresh = [pod for pod in pods if is_over(pod) and _is_tracked(pod)]
    waiting = {uid_of(pod) for pod in fresh}
    running = [pod for pod in pods if not is_over(pod)]
    return Progress(
        active=tuple(pod for pod in running if not is_leaving(pod)),
        leaving=sum(is_leaving(pod) for pod in running),
        succeeded=tuple(pod for pod in fresh if pod["status"]["phase"] == "Succeeded"),
        failed=tuple(pod for pod in fresh if pod["status"]["phase"] == "Failed"),
        counted_succeeded=_counted(job, "succeeded", waiting),
        counted_failed=_counted(job, "failed", waiting),
    )


def _counted(job: KubeObject, what: str, waiting: set[str]) -> int:
    """Those in the number, and those who lost their finalizer before the number could be written."""
    status = job.get("status") or {}
    named = (status.get("uncountedTerminatedPods") or {}).get(what) or ()
    return int(status.get(what) or 0) + sum(uid not in waiting for uid in named)


def outcome(job: KubeObject, now: Progress) -> tuple[str, str, str] | None:
    """Announcing condition, final condition and reason of a Job whose end is decided."""
    spec = job["spec"]
    wanted = spec.get("completions")
    if now.successes >= (wanted if wanted is not None else 1) and (
        wanted is not None or not now.active
    ):
        return _SUCCESS
    return _FAILURE if now.failures > int(spec["backoffLimit"]) else None


def is_finished(job: KubeObject) -> bool:
    """Whether the Job is complete or has failed."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)


def status_of(job: KubeObject, now: Progress, time: str, *, counted: bool) -> KubeObject:
    """The status to write: before the finalizers of ended pods go, or (`counted`) after."""
    old = job.get("status") or {}
    fresh = {
        name: [uid_of(pod) for pod in pods]
        for name, pods in (("succeeded", now.succeeded), ("failed", now.failed))
        if pods and not counted
    }
    amounts = {
        "active": len(now.active),
        "succeeded": now.successes if counted else now.counted_succeeded,
        "failed": now.failures if counted else now.counted_failed,
    }
    status: KubeObject = {
        **{name: amount for name, amount in amounts.items() if amount},
        "ready": sum(ready_since(pod) is not None for pod in now.active),
        "terminating": now.leaving,
        "uncountedTerminatedPods": fresh,
        "startTime": old.get("startTime") or time,
    }
    conditions = _conditions(job, now, time, counted=counted)
    if conditions:
        status["conditions"] = conditions
        if any(condition["type"] == "Complete" for condition in conditions):
            status["completionTime"] = old.get("completionTime") or time
    return status


def _conditions(job: KubeObject, now: Progress, time: str, *, counted: bool) -> list[KubeObject]:
    """The end is announced first and stands when every pod that ended is counted."""
    known = list((job.get("status") or {}).get("conditions") or ())
    end = outcome(job, now)
    if end is None:
        return known
    announced, final, reason = end
    is_last = counted and not now.active and not now.leaving
    for kind in (announced, final) if is_last else (announced,):
        if not any(condition["type"] == kind for condition in known):
            known.append(
                {
                    "type": kind,
                    "status": "True",
                    "reason": reason,
                    "message": _MESSAGES[reason],
                    "lastProbeTime": time,
                    "lastTransitionTime": time,
                }
            )
    return known


_MESSAGES = {
    "CompletionsReached": "Reached expected number of succeeded pods",
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
}


def _is_tracked(pod: KubeObject) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or ())
