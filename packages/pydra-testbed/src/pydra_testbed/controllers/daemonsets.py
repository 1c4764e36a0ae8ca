"""The DaemonSet controller: one pod on each node that may have one, replaced node by node (apps/v1).

Started by the cluster. The scheduler places the pods, bound to their nodes by affinity. Knows `RollingUpdate`
with maxUnavailable and maxSurge, and `OnDelete`; the status is what `kubectl rollout status` reads. Left out:
ControllerRevision objects, and with them rolling back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydra_testbed.clock import Clock
from pydra_testbed.controllers.base import Controller
from pydra_testbed.controllers.daemonpods import REVISION, daemon_pod, eligible, node_of
from pydra_testbed.controllers.owned import (
    PodMaker,
    is_leaving,
    is_over,
    owned_by,
    owner_key,
    ready_since,
    seconds_to_available,
    template_hash,
)
from pydra_testbed.controllers.rollout import amount
from pydra_testbed.objects import Api, KubeObject, key_of, name_of
from pydra_testbed.recorder import EventRecorder
from pydra_testbed.reflector import Change

# A pod that failed is replaced after this time, so that a driver that cannot start does not spin.
_FAILED_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class _View:
    """A DaemonSet with its template's hash, the nodes it wants and its pods by node."""

    owner: KubeObject
    revision: str
    nodes: tuple[str, ...]
    pods: Mapping[str, Sequence[KubeObject]]

    def of(self, node: str, *, updated: bool) -> list[KubeObject]:
        """The node's pods of the present template, or of earlier ones, that are to stay."""
        return [
            pod
            for pod in self.pods.get(node, ())
            if not is_leaving(pod)
            and (pod["metadata"]["labels"].get(REVISION) == self.revision) == updated
        ]


class DaemonSetController(Controller):
    """Reconciles DaemonSets."""

    resources: ClassVar[tuple[str, ...]] = ("daemonsets", "pods", "nodes")

    def __init__(self, api: Api, clock: Clock) -> None:
        super().__init__(api, clock)
        self._maker = PodMaker(api, EventRecorder(api, clock, "daemonset-controller"))

    def on_change(self, change: Change) -> None:
        if change.resource == "daemonsets":
            self.queue.add(key_of(change.object))
        elif change.resource == "nodes":
            for owner in self.seen["daemonsets"]:
                self.queue.add(key_of(owner))
        elif owner_of := owner_key(change.object, "DaemonSet"):
            self.queue.add(owner_of)

    async def reconcile(self, key: str) -> None:
        owner = self.seen["daemonsets"].get(key)
        if owner is None:
            return
        if not is_leaving(owner):
            await self._place(self._view(owner))
            await self._roll(self._view(owner))
        await self._report(self._view(owner))

    def _view(self, owner: KubeObject) -> _View:
        by_node: defaultdict[str, list[KubeObject]] = defaultdict(list)
        for pod in owned_by(owner, self.seen["pods"]):
            by_node[node_of(pod)].append(pod)
        wanted = sorted(
            name_of(node)
            for node in self.seen["nodes"]
            if eligible(owner, node, is_there=bool(by_node.get(name_of(node))))
        )
        return _View(owner, template_hash(owner["spec"]["template"]), tuple(wanted), by_node)

    async def _place(self, view: _View) -> None:
        """A pod where there is none, none where there should not be any, another for one that ended."""
        for node in view.nodes:
            if not view.pods.get(node):
                await self._create(view, node)
        for node, pods in view.pods.items():
            for pod in pods:
                if node not in view.nodes and not is_leaving(pod):
                    await self._maker.delete(view.owner, pod)
                elif is_over(pod) and not is_leaving(pod):
                    await self._replace_failed(view.owner, pod)

    async def _create(self, view: _View, node: str) -> None:
        pod = daemon_pod(view.owner, node, view.revision)
        self.seen["pods"].offer(await self._maker.create(view.owner, pod))

    async def _replace_failed(self, owner: KubeObject, pod: KubeObject) -> None:
        age = self.clock.now().timestamp() - _created(pod)
        if age < _FAILED_PAUSE:
            self.queue.add_after(key_of(owner), _FAILED_PAUSE - age)
        else:
            await self._maker.delete(owner, pod)

    async def _roll(self, view: _View) -> None:
        strategy = view.owner["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return
        surge = amount(strategy["rollingUpdate"]["maxSurge"], len(view.nodes), up=True)
        if surge:
            await self._surge(view, surge)
        else:
            most = strategy["rollingUpdate"]["maxUnavailable"]
            await self._one_by_one(view, max(amount(most, len(view.nodes), up=True), 1))

    async def _one_by_one(self, view: _View, most: int) -> None:
        """Old pods go, those that are not available first, while not too many nodes are without."""
        lacking = [node for node in view.nodes if not self._has_available(view, node)]
        old = {node: view.of(node, updated=False) for node in view.nodes}
        for node in lacking:
            for pod in old[node]:
                await self._maker.delete(view.owner, pod)
        room = most - len(lacking)
        for node in [n for n in view.nodes if old[n] and n not in lacking][: max(room, 0)]:
            for pod in old[node]:
                await self._maker.delete(view.owner, pod)

    async def _surge(self, view: _View, most: int) -> None:
        """A new pod beside the old one, which goes once the new one is available."""
        started = 0
        for node in view.nodes:
            old, new = view.of(node, updated=False), view.of(node, updated=True)
            is_ready = any(self._wait(view.owner, pod) == 0 for pod in new)
            broken = not any(self._wait(view.owner, pod) == 0 for pod in old)
            if old and (is_ready or broken):
                for pod in old:
                    await self._maker.delete(view.owner, pod)
            if old and new and not is_ready:
                started += 1
        for node in view.nodes:
            old, new = view.of(node, updated=False), view.of(node, updated=True)
            if old and not new and started < most:
                await self._create(view, node)
                started += 1

    def _has_available(self, view: _View, node: str) -> bool:
        return any(self._wait(view.owner, pod) == 0 for pod in view.pods.get(node, ()))

    def _wait(self, owner: KubeObject, pod: KubeObject) -> float | None:
        min_ready = float(owner["spec"].get("minReadySeconds") or 0)
        wait = seconds_to_available(pod, min_ready, self.clock.now())
        if wait:
            self.queue.add_after(key_of(owner), wait)
        return wait

    async def _report(self, view: _View) -> None:
        here = {node: view.pods.get(node, ()) for node in view.nodes}
        desired = len(view.nodes)
        available = sum(self._has_available(view, node) for node in view.nodes)
        status = {
            "observedGeneration": view.owner["metadata"]["generation"],
            "currentNumberScheduled": sum(bool(pods) for pods in here.values()),
            "desiredNumberScheduled": desired,
            "numberMisscheduled": sum(node not in here for node in view.pods),
            "numberReady": sum(
                any(ready_since(pod) is not None for pod in pods) for pods in here.values()
            ),
            "updatedNumberScheduled": sum(bool(view.of(node, updated=True)) for node in here),
            "numberAvailable": available,
            "numberUnavailable": desired - available,
        }
        if status != (view.owner.get("status") or {}):
            body = {**view.owner, "status": status}
            self.seen["daemonsets"].offer(await self.api.update("daemonsets", body, "status"))


def _created(pod: KubeObject) -> float:
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
