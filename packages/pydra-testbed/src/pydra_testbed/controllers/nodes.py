"""The node controller: a node whose kubelet has fallen silent or is not ready gets told so by taints.

Started by the cluster. A kubelet renews its node's Lease; when that stops for 50 s, the node's conditions become
Unknown. A node that is not Ready is tainted, NoSchedule and NoExecute; what runs there counts as not ready
from then on, and `NodeTaintEviction` makes it go.
"""

from __future__ import annotations

from typing import ClassVar

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.controllers.base import Controller
from pydra_testbed.objects import Api, KubeObject, ObjectRef, Patch, name_of, namespace_of
from pydra_testbed.recorder import EventRecorder
from pydra_testbed.reflector import Change

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
_LEASES = "kube-node-lease"
_GRACE = 50.0
_EFFECTS = ("NoSchedule", "NoExecute")
_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class NodeController(Controller):
    """Reconciles nodes, by their leases."""

    resources: ClassVar[tuple[str, ...]] = ("nodes", "leases", "pods")

    def __init__(self, api: Api, clock: Clock) -> None:
        super().__init__(api, clock)
        self._heard: dict[str, float] = {}
        self._events = EventRecorder(api, clock, "node-controller")

    def on_change(self, change: Change) -> None:
        name = name_of(change.object)
        if change.resource == "leases" and namespace_of(change.object) == _LEASES:
            if change.new is not None:
                self._heard[name] = self.clock.monotonic()
            self.queue.add(name)
        elif change.resource == "nodes":
            self._heard.setdefault(name, self.clock.monotonic())
            if change.new is None:
                del self._heard[name]
            self.queue.add(name)

    async def reconcile(self, key: str) -> None:
        node = self.seen["nodes"].get(key)
        if node is None:
            return
        silent = self.clock.monotonic() - self._heard.get(key, self.clock.monotonic())
        if silent >= _GRACE:
            node = await self._lose(node)
        else:
            self.queue.add_after(key, _GRACE - silent)
        ready = _condition(node, "Ready")
        await self._taint(node, str(ready.get("status", "")))

    async def _lose(self, node: KubeObject) -> KubeObject:
        """What the kubelet last said is worth nothing any more."""
        now = rfc3339(self.clock.now())
        known = (node.get("status") or {}).get("conditions") or []
        if not known or all(c["status"] == "Unknown" for c in known if c["type"] in _WATCHED):
            return node
        unknown = {
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": now,
        }
        conditions = [{**c, **unknown} if c["type"] in _WATCHED else c for c in known]
        patch = Patch({"status": {"conditions": conditions}})
        written = await self.api.patch(ObjectRef("nodes", name_of(node)), patch, "status")
        self.seen["nodes"].offer(written)
        text = f"Node {name_of(node)} status is now: NodeNotReady"
        await self._events.record(node, "Normal", "NodeNotReady", text)
        return written

    async def _taint(self, node: KubeObject, ready: str) -> None:
        key = {"True": "", "False": NOT_READY, "Unknown": UNREACHABLE}.get(ready)
        if key is None:
            return
        taints = (node.get("spec") or {}).get("taints") or []
        kept = [t for t in taints if t["key"] not in {NOT_READY, UNREACHABLE} or t["key"] == key]
        there = {(taint["key"], taint["effect"]) for taint in kept}
        missing = [effect for effect in _EFFECTS if key and (key, effect) not in there]
        now = rfc3339(self.clock.now())
        wanted = [*kept, *({"key": key, "effect": e, "timeAdded": now} for e in missing)]
        if wanted == taints:
            return
        version = node["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"taints": wanted or None}}
        written = await self.api.patch(ObjectRef("nodes", name_of(node)), Patch(body))
        self.seen["nodes"].offer(written)
        if missing:
            await self._pods_not_ready(name_of(node))

    async def _pods_not_ready(self, node: str) -> None:
        """Nobody can say whether they still serve."""
        now = rfc3339(self.clock.now())
        for pod in self.seen["pods"]:
            ready = _condition(pod, "Ready")
            if pod["spec"].get("nodeName") != node or ready.get("status") != "True":
                continue
            changed = {**ready, "status": "False", "lastTransitionTime": now}
            others = [c for c in pod["status"]["conditions"] if c["type"] != "Ready"]
            body = {**pod, "status": {**pod["status"], "conditions": [*others, changed]}}
            self.seen["pods"].offer(await self.api.update("pods", body, "status"))


def _condition(obj: KubeObject, kind: str) -> KubeObject:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), {})
