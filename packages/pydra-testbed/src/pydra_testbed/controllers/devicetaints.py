"""Pods leave devices with NoExecute taints that their claims do not tolerate (KEP-5055). Started by the cluster.

Taints come from slices and, when the gate is on, from DeviceTaintRules. As in Kubernetes 1.36 only tolerations
that name the effect NoExecute count here, although the scheduler takes those without effect too: a pod can be
placed on a tainted device and evicted at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import ClassVar

from pydra_testbed.clock import Clock
from pydra_testbed.controllers.eviction import EvictionController, Words
from pydra_testbed.controllers.podclaims import claim_keys
from pydra_testbed.controllers.taintrules import RULES, RuleReporter, rule_taint, selects
from pydra_testbed.controllers.tolerations import FOREVER, matches, tolerated_seconds
from pydra_testbed.objects import Api, KubeObject, key_of, namespace_of, uid_of
from pydra_testbed.reflector import Change

_RULE = "rule:"
_NO_EXECUTE = "NoExecute"


class DeviceTaintEviction(EvictionController):
    """Evicts by the taints of devices, and by rules where they are served: only with their gate."""

    resources: ClassVar[tuple[str, ...]] = ("pods", "resourceclaims", "resourceslices")
    words: ClassVar[Words] = Words(
        component="device-taint-eviction-controller",
        event="DeviceTaintManagerEviction",
        marking="Marking for deletion",
        cancelling="Cancelling deletion",
        reason="DeletionByDeviceTaintManager",
        message="Device Taint manager: deleting due to NoExecute taint",
    )

    def __init__(self, api: Api, clock: Clock) -> None:
        self._with_rules = any(kind.kind == "DeviceTaintRule" for kind in api.kinds())
        super().__init__(api, clock)
        self._evicted: Counter[str] = Counter()
        self._reporter = RuleReporter(api, clock, self.queue.add_after)

    def watched(self) -> tuple[str, ...]:
        return (*self.resources, RULES) if self._with_rules else self.resources

    def on_change(self, change: Change) -> None:
        match change.resource:
            case "pods":
                self.queue.add(key_of(change.object))
            case "resourceclaims":
                self._queue_users(change.object)
            case "resourceslices":
                if _has_no_execute(change.old) or _has_no_execute(change.new):
                    self._queue_all()
            case _:
                self._rule_changed(change)

    def _rule_changed(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is None or new is None or old["spec"] != new["spec"]:
            self._queue_all()
            self.queue.add(_RULE + key_of(change.object))

    def _queue_all(self) -> None:
        for claim in self.seen["resourceclaims"]:
            self._queue_users(claim)

    def _queue_users(self, claim: KubeObject) -> None:
        for consumer in (claim.get("status") or {}).get("reservedFor") or ():
            if consumer.get("resource") == "pods":
                self.queue.add(f"{namespace_of(claim)}/{consumer['name']}")

    async def reconcile(self, key: str) -> None:
        if not key.startswith(_RULE):
            await super().reconcile(key)
            return
        rule = self.seen[RULES].get(key.removeprefix(_RULE))
        if rule is not None:
            pending = self._pending(rule)
            written = await self._reporter.report(key, rule, pending, self._evicted[uid_of(rule)])
            self.seen[RULES].offer(written)

    def due(self, pod: KubeObject) -> datetime | None:
        if not pod["spec"].get("nodeName"):
            return None
        return min((moment for moment, _ in self._reasons(pod)), default=None)

    async def evicted(self, pod: KubeObject) -> None:
        self._evicted.update({uid for _, uid in self._reasons(pod) if uid})
        for rule in self.seen[RULES] if self._with_rules else ():
            self.queue.add(_RULE + key_of(rule))

    def _pending(self, rule: KubeObject) -> list[KubeObject]:
        """Pods that have to go because of the rule and are still there."""
        return [
            pod
            for pod in self.seen["pods"]
            if not pod["metadata"].get("deletionTimestamp")
            and pod["spec"].get("nodeName")
            and any(reason == uid_of(rule) for _, reason in self._reasons(pod))
        ]

    def _reasons(self, pod: KubeObject) -> Iterator[tuple[datetime, str]]:
        """Each moment at which a taint makes the pod go, with the UID of the rule behind it."""
        for key in dict.fromkeys(claim_keys(pod)):
            claim = self.seen["resourceclaims"].get(key)
            status = (claim.get("status") if claim else None) or {}
            if any(c.get("uid") == uid_of(pod) for c in status.get("reservedFor") or ()):
                devices = (status.get("allocation") or {}).get("devices") or {}
                for result in devices.get("results") or ():
                    yield from self._moments(result)

    def _moments(self, result: KubeObject) -> Iterator[tuple[datetime, str]]:
        given = result.get("tolerations") or ()
        tolerations = [each for each in given if each.get("effect") == _NO_EXECUTE]
        for taint, rule in self._taints(result):
            seconds = tolerated_seconds(taint, tolerations)
            # Unlike with node taints, one toleration without end outweighs those that end.
            if any(t.get("tolerationSeconds") is None and matches(taint, t) for t in tolerations):
                seconds = FOREVER
            if taint.get("effect") == _NO_EXECUTE and seconds != FOREVER:
                added = datetime.fromisoformat(taint["timeAdded"])
                yield added + timedelta(seconds=seconds), rule

    def _taints(self, result: KubeObject) -> Iterator[tuple[KubeObject, str]]:
        """The taints of an allocated device, by the newest generation of its pool, and by rules."""
        slices = [
            each["spec"]
            for each in self.seen["resourceslices"]
            if each["spec"]["driver"] == result["driver"]
            and each["spec"]["pool"]["name"] == result["pool"]
        ]
        newest = max((spec["pool"]["generation"] for spec in slices), default=0)
        for spec in slices:
            for device in spec.get("devices") or () if spec["pool"]["generation"] == newest else ():
                if device["name"] == result["device"]:
                    yield from ((taint, "") for taint in device.get("taints") or ())
        for rule in self.seen[RULES] if self._with_rules else ():
            if selects(rule, result):
                yield rule_taint(rule), uid_of(rule)


def _has_no_execute(body: KubeObject | None) -> bool:
    devices = (body or {}).get("spec", {}).get("devices") or ()
    return any(
        taint.get("effect") == _NO_EXECUTE for d in devices for taint in d.get("taints") or ()
    )
