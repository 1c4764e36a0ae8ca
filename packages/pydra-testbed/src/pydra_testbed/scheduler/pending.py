"""Pods that wait for a node: which to try next, and when not before.

A pod is tried when it is new or something it may wait for has changed. After a failure it lets others go first
for a pause that doubles from 1 s to 10 s, but is tried before that when nobody else is there, as in Kubernetes
(gate SchedulerPopFromBackoffQ); after an error of the API server the pause holds in any case.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass

from pydra_testbed.objects import KubeObject, key_of, uid_of
from pydra_testbed.scheduler.podclaims import known_claims

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_NAMES = frozenset({"", "default-scheduler"})
_TERMINAL = frozenset({"Succeeded", "Failed"})


def is_pending(pod: KubeObject) -> bool:
    """Whether the pod is ours to schedule."""
    spec, phase = pod["spec"], (pod.get("status") or {}).get("phase")
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and (spec.get("schedulerName") or "") in _NAMES
        and not pod["metadata"].get("deletionTimestamp")
        and phase not in _TERMINAL
    )


@dataclass(slots=True)
class _Entry:
    uid: str
    rank: tuple[int, str, int]
    worth_trying: bool = True
    has_error: bool = False
    failures: int = 0
    not_before: float = 0.0


class PendingPods:
    """The queue; times are seconds of the scheduler's monotonic clock."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._arrivals = itertools.count()
        self._users: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, pod: KubeObject) -> None:
        """Take in a pending pod, or try it again."""
        key = key_of(pod)
        for claim in known_claims(pod):
            self._users[claim].add(key)
        known = self._entries.get(key)
        if known is not None and known.uid == uid_of(pod):
            known.worth_trying = True
            return
        priority = pod["spec"].get("priority") or 0
        created = pod["metadata"].get("creationTimestamp") or ""
        rank = (-priority, created, next(self._arrivals))
        self._entries[key] = _Entry(uid_of(pod), rank)

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)

    def retry_users(self, claim: str) -> bool:
        """A claim has changed: try the pods that use it; False when none is waiting."""
        users = self._users.get(claim, set())
        users.intersection_update(self._entries)
        for key in users:
            self._entries[key].worth_trying = True
        if not users:
            self._users.pop(claim, None)
        return bool(users)

    def retry_all(self) -> None:
        """Something that any pod may wait for has changed."""
        for entry in self._entries.values():
            entry.worth_trying = True

    def next(self, now: float) -> str | None:
        """The pod to try: one whose pause is over before others, then highest priority, then oldest."""
        ready = (
            (entry.not_before > now, entry.rank, key)
            for key, entry in self._entries.items()
            if entry.worth_trying and (entry.not_before <= now or not entry.has_error)
        )
        return min(ready, default=(False, None, None))[2]

    def next_due(self) -> float | None:
        """When the earliest pod that is worth trying may be tried."""
        times = [entry.not_before for entry in self._entries.values() if entry.worth_trying]
        return min(times, default=None)

    def gated(self, key: str) -> None:
        """The pod waits for a claim; trying again costs it nothing."""
        if entry := self._entries.get(key):
            entry.worth_trying = False

    def failed(self, key: str, now: float, *, retry: bool = False) -> None:
        """The pod was tried in vain; `retry` when no change is needed for another try."""
        if entry := self._entries.get(key):
            entry.worth_trying = entry.has_error = retry
            pause = _FIRST_PAUSE * 2 ** min(entry.failures, 10)
            entry.not_before = now + min(pause, _LONGEST_PAUSE)
            entry.failures += 1
