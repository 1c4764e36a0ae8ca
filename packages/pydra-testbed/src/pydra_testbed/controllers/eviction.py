"""Pods that have to go at a moment that taints and tolerations set: waiting, changing one's mind, deleting.

The common half of eviction by node taints and by device taints; each says when a pod's time is up.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.controllers.base import Controller
from pydra_testbed.controllers.owned import is_leaving, is_over
from pydra_testbed.objects import (
    Api,
    KubeObject,
    ObjectRef,
    Preconditions,
    name_of,
    namespace_of,
    uid_of,
)
from pydra_testbed.recorder import EventRecorder

_CONDITION = "DisruptionTarget"


@dataclass(frozen=True, slots=True)
class Words:
    """What a kind of eviction says: who, the event's reason and texts, the condition's reason and message.

    `{pod}` in the texts of events becomes namespace and name.
    """

    component: str
    event: str
    marking: str
    cancelling: str
    reason: str
    message: str


class EvictionController(Controller):
    """Deletes each pod at the moment `due` names; asked again whenever something about the pod changes."""

    words: ClassVar[Words]

    def __init__(self, api: Api, clock: Clock) -> None:
        super().__init__(api, clock)
        self._planned: set[str] = set()
        self._events = EventRecorder(api, clock, self.words.component)

    @abstractmethod
    def due(self, pod: KubeObject) -> datetime | None:
        """When the pod has to go, None if it may stay."""

    async def evicted(self, pod: KubeObject) -> None:
        """Called when a pod was told to go."""

    async def reconcile(self, key: str) -> None:
        pod = self.seen["pods"].get(key)
        if pod is None:
            return
        if is_leaving(pod) or is_over(pod):
            self._planned.discard(uid_of(pod))
            return
        moment = self.due(pod)
        if moment is None:
            if uid_of(pod) in self._planned:
                self._planned.discard(uid_of(pod))
                await self._say(pod, self.words.cancelling)
            return
        wait = (moment - self.clock.now()).total_seconds()
        if wait > 0:
            self._planned.add(uid_of(pod))
            self.queue.add_after(key, wait)
        else:
            await self._evict(pod)

    async def _evict(self, pod: KubeObject) -> None:
        await self._say(pod, self.words.marking)
        ref = ObjectRef("pods", name_of(pod), namespace_of(pod))
        current = await self.api.get(ref.resource, ref.name, ref.namespace)
        if uid_of(current) == uid_of(pod):
            await self._mark(current)
        await self.api.delete(ref, preconditions=Preconditions(uid=uid_of(pod)))
        self._planned.discard(uid_of(pod))
        await self.evicted(pod)

    async def _mark(self, pod: KubeObject) -> None:
        known = (pod.get("status") or {}).get("conditions") or []
        condition = {
            "type": _CONDITION,
            "status": "True",
            "reason": self.words.reason,
            "message": self.words.message,
            "lastTransitionTime": rfc3339(self.clock.now()),
        }
        others = [c for c in known if c["type"] != _CONDITION]
        status = {**(pod.get("status") or {}), "conditions": [*others, condition]}
        await self.api.update("pods", {**pod, "status": status}, "status")

    async def _say(self, pod: KubeObject, text: str) -> None:
        where = f"{namespace_of(pod)}/{name_of(pod)}"
        await self._events.record(pod, "Normal", self.words.event, text.format(pod=where))
