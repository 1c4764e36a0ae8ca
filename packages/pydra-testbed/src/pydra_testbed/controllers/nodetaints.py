"""Pods leave nodes with NoExecute taints they do not tolerate, or not any longer. Started by the cluster.

A real API server adds tolerations of 300 s for nodes that are not ready or unreachable to every pod that names
none (admission plugin DefaultTolerationSeconds); this one does not, so they are counted in here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from pydra_testbed.controllers.eviction import EvictionController, Words
from pydra_testbed.controllers.nodes import NOT_READY, UNREACHABLE
from pydra_testbed.controllers.tolerations import FOREVER, matches, tolerated_seconds
from pydra_testbed.objects import KubeObject, key_of, name_of
from pydra_testbed.reflector import Change

_DEFAULT_SECONDS = 300


class NodeTaintEviction(EvictionController):
    """Evicts by the taints of nodes."""

    resources: ClassVar[tuple[str, ...]] = ("nodes", "pods")
    words: ClassVar[Words] = Words(
        component="taint-eviction-controller",
        event="TaintManagerEviction",
        marking="Marking for deletion Pod {pod}",
        cancelling="Cancelling deletion of Pod {pod}",
        reason="DeletionByTaintManager",
        message="Taint manager: deleting due to NoExecute taint",
    )

    def on_change(self, change: Change) -> None:
        if change.resource == "pods":
            if change.new is not None and change.new["spec"].get("nodeName"):
                self.queue.add(key_of(change.new))
        elif change.old is None or change.new is None or _taints(change.old) != _taints(change.new):
            for pod in self.seen["pods"]:
                if pod["spec"].get("nodeName") == name_of(change.object):
                    self.queue.add(key_of(pod))

    def due(self, pod: KubeObject) -> datetime | None:
        node = self.seen["nodes"].get(str(pod["spec"].get("nodeName", "")))
        taints = _taints(node) if node else []
        moments = []
        for taint in taints:
            tolerations = pod["spec"].get("tolerations") or []
            if taint["key"] in {NOT_READY, UNREACHABLE} and not any(
                matches(taint, toleration) for toleration in tolerations
            ):
                seconds: float = _DEFAULT_SECONDS
            else:
                seconds = tolerated_seconds(taint, tolerations)
            if seconds != FOREVER:
                added = taint.get("timeAdded") or pod["metadata"]["creationTimestamp"]
                moments.append(datetime.fromisoformat(added) + timedelta(seconds=seconds))
        return min(moments, default=None)


def _taints(node: KubeObject) -> list[KubeObject]:
    taints = (node.get("spec") or {}).get("taints") or []
    return [taint for taint in taints if taint.get("effect") == "NoExecute"]
