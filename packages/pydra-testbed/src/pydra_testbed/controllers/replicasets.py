"""The ReplicaSet controller: so many pods of one template (apps/v1). Started by the cluster.

A pod that ended counts no more and is replaced; pods are found by their owner, none is adopted by labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydra_testbed.clock import Clock
from pydra_testbed.controllers.base import Controller
from pydra_testbed.controllers.owned import (
    PodMaker,
    is_leaving,
    is_over,
    owned_by,
    owner_key,
    pod_from,
    ready_since,
    seconds_to_available,
)
from pydra_testbed.objects import Api, KubeObject, key_of
from pydra_testbed.recorder import EventRecorder
from pydra_testbed.reflector import Change


class ReplicaSetController(Controller):
    """Reconciles ReplicaSets."""

    resources: ClassVar[tuple[str, ...]] = ("replicasets", "pods")

    def __init__(self, api: Api, clock: Clock) -> None:
        super().__init__(api, clock)
        self._maker = PodMaker(api, EventRecorder(api, clock, "replicaset-controller"))

    def on_change(self, change: Change) -> None:
        if change.resource == "replicasets":
            self.queue.add(key_of(change.object))
        elif owner := owner_key(change.object, "ReplicaSet"):
            self.queue.add(owner)

    async def reconcile(self, key: str) -> None:
        owner = self.seen["replicasets"].get(key)
        if owner is None:
            return
        if not is_leaving(owner):
            await self._scale(owner)
        await self._report(owner)

    async def _scale(self, owner: KubeObject) -> None:
        pods = self._live(owner)
        wanted = int(owner["spec"]["replicas"])
        for _ in range(wanted - len(pods)):
            self.seen["pods"].offer(await self._maker.create(owner, pod_from(owner, {})))
        for pod in sorted(pods, key=_worth)[: max(len(pods) - wanted, 0)]:
            await self._maker.delete(owner, pod)

    async def _report(self, owner: KubeObject) -> None:
        pods = self._live(owner)
        min_ready = float(owner["spec"].get("minReadySeconds") or 0)
        waits = [seconds_to_available(pod, min_ready, self.clock.now()) for pod in pods]
        if soonest := min((wait for wait in waits if wait), default=0):
            self.queue.add_after(key_of(owner), soonest)
        ready = [pod for pod in pods if ready_since(pod) is not None]
        status = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": len(ready),
            "availableReplicas": waits.count(0.0),
            "observedGeneration": owner["metadata"]["generation"],
        }
        status = {name: value for name, value in status.items() if value or name == "replicas"}
        if status != (owner.get("status") or {}):
            written = await self.api.update("replicasets", {**owner, "status": status}, "status")
            self.seen["replicasets"].offer(written)

    def _live(self, owner: KubeObject) -> Sequence[KubeObject]:
        pods = owned_by(owner, self.seen["pods"])
        return [pod for pod in pods if not is_over(pod) and not is_leaving(pod)]


def _worth(pod: KubeObject) -> tuple[bool, bool, int]:
    """What goes first when there are too many: without a node, not ready, young."""
    created = pod["metadata"].get("creationTimestamp", "")
    return bool(pod["spec"].get("nodeName")), ready_since(pod) is not None, -_digits(created)


def _digits(time: str) -> int:
    return int("".join(letter for letter in time if letter.isdigit()) or 0)
