"""The Deployment controller: one ReplicaSet per template, rolled from the old to the new (apps/v1).

Started by the cluster. Knows `RollingUpdate` and `Recreate`, revisions and their history limit, and a status
that `kubectl rollout status` reads. Left out: pausing, progress deadlines, proportional scaling during a
rollout.
"""

from __future__ import annotations

import copy
from typing import ClassVar

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.controllers.base import Controller
from pydra_testbed.controllers.owned import (
    is_leaving,
    is_over,
    owned_by,
    owner_key,
    owner_reference,
    template_hash,
)
from pydra_testbed.controllers.rollout import Replicas, limits, roll
from pydra_testbed.objects import (
    Api,
    KubeObject,
    ObjectRef,
    Patch,
    key_of,
    name_of,
    namespace_of,
)
from pydra_testbed.recorder import EventRecorder
from pydra_testbed.reflector import Change

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"


class DeploymentController(Controller):
    """Reconciles Deployments."""

    resources: ClassVar[tuple[str, ...]] = ("deployments", "replicasets", "pods")

    def __init__(self, api: Api, clock: Clock) -> None:
        super().__init__(api, clock)
        self._events = EventRecorder(api, clock, "deployment-controller")

    def on_change(self, change: Change) -> None:
        if change.resource == "deployments":
            self.queue.add(key_of(change.object))
        elif change.resource == "pods":
            replica_set = self.seen["replicasets"].get(owner_key(change.object, "ReplicaSet"))
            if change.new is None and replica_set is not None:
                self.queue.add(owner_key(replica_set, "Deployment"))
        elif owner := owner_key(change.object, "Deployment"):
            self.queue.add(owner)

    async def reconcile(self, key: str) -> None:
        deployment = self.seen["deployments"].get(key)
        if deployment is None or is_leaving(deployment):
            return
        new = await self._current(deployment)
        old = [each for each in self._sets(deployment) if name_of(each) != name_of(new)]
        for name, size in self._sizes(deployment, new, old).items():
            await self._resize(deployment, name, size)
        sets = self._sets(deployment)
        await self._tidy(deployment, new, [s for s in sets if name_of(s) != name_of(new)])
        await self._report(deployment, name_of(new), sets)

    def _sets(self, deployment: KubeObject) -> list[KubeObject]:
        return owned_by(deployment, self.seen["replicasets"])

    async def _current(self, deployment: KubeObject) -> KubeObject:
        """The ReplicaSet of the present template, made or numbered anew when needed."""
        digest = template_hash(deployment["spec"]["template"])
        sets = self._sets(deployment)
        found = next((s for s in sets if template_hash(_template(s)) == digest), None)
        latest = max((_revision(s) for s in sets), default=0)
        if found is None:
            body = _replica_set(deployment, digest, latest + 1)
            found = await self.api.create("replicasets", body, namespace_of(deployment))
        elif _revision(found) < latest:
            found = await self._number(found, latest + 1)
        self.seen["replicasets"].offer(found)
        return found

    def _sizes(
        self, deployment: KubeObject, new: KubeObject, old: list[KubeObject]
    ) -> dict[str, int]:
        spec = deployment["spec"]
        desired = int(spec["replicas"])
        if spec["strategy"]["type"] == "RollingUpdate":
            rolling = spec["strategy"]["rollingUpdate"]
            bounds = limits(desired, rolling["maxSurge"], rolling["maxUnavailable"])
            return roll(_replicas(new), [_replicas(each) for each in old], bounds)
        if running := {name_of(each): 0 for each in old if each["spec"]["replicas"]}:
            return running
        if any(not is_over(pod) for each in old for pod in owned_by(each, self.seen["pods"])):
            return {}
        return {name_of(new): desired} if new["spec"]["replicas"] != desired else {}

    async def _number(self, replica_set: KubeObject, revision: int) -> KubeObject:
        ref = ObjectRef("replicasets", name_of(replica_set), namespace_of(replica_set))
        annotations = {_REVISION: str(revision)}
        return await self.api.patch(ref, Patch({"metadata": {"annotations": annotations}}))

    async def _resize(self, deployment: KubeObject, name: str, size: int) -> None:
        ref = ObjectRef("replicasets", name, namespace_of(deployment))
        before = self.seen["replicasets"].get(f"{ref.namespace}/{name}")
        was = int(before["spec"]["replicas"]) if before else 0
        written = await self.api.patch(ref, Patch({"spec": {"replicas": size}}))
        self.seen["replicasets"].offer(written)
        direction = "up" if size > was else "down"
        text = f"Scaled {direction} replica set {name} from {was} to {size}"
        await self._events.record(deployment, "Normal", "ScalingReplicaSet", text)

    async def _tidy(self, deployment: KubeObject, new: KubeObject, old: list[KubeObject]) -> None:
        """Old ReplicaSets without pods stay for a rollback, as many as the limit says."""
        limit = int(deployment["spec"].get("revisionHistoryLimit", 10))
        empty = [s for s in old if not s["spec"]["replicas"] and not _count(s, "replicas")]
        for gone in sorted(empty, key=_revision)[: max(len(empty) - limit, 0)]:
            await self.api.delete(ObjectRef("replicasets", name_of(gone), namespace_of(gone)))
        if (deployment["metadata"].get("annotations") or {}).get(_REVISION) != str(_revision(new)):
            ref = ObjectRef("deployments", name_of(deployment), namespace_of(deployment))
            annotations = {_REVISION: str(_revision(new))}
            patch = Patch({"metadata": {"annotations": annotations}})
            self.seen["deployments"].offer(await self.api.patch(ref, patch))

    async def _report(self, deployment: KubeObject, new: str, sets: list[KubeObject]) -> None:
        deployment = self.seen["deployments"].get(key_of(deployment)) or deployment
        status = _status(deployment, new, sets, rfc3339(self.clock.now()))
        if status != (deployment.get("status") or {}):
            body = {**deployment, "status": status}
            self.seen["deployments"].offer(await self.api.update("deployments", body, "status"))


def _template(replica_set: KubeObject) -> KubeObject:
    """The Deployment's template a ReplicaSet was made from."""
    template: KubeObject = copy.deepcopy(replica_set["spec"]["template"])
    template["metadata"]["labels"].pop(_HASH, None)
    return template


def _replica_set(deployment: KubeObject, digest: str, revision: int) -> KubeObject:
    spec = deployment["spec"]
    template = copy.deepcopy(spec["template"])
    labels = {**(template["metadata"].get("labels") or {}), _HASH: digest}
    template["metadata"]["labels"] = labels
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": labels,
            "annotations": {_REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "minReadySeconds": spec.get("minReadySeconds", 0),
            "selector": {"matchLabels": {**spec["selector"]["matchLabels"], _HASH: digest}},
            "template": template,
        },
    }


def _replicas(replica_set: KubeObject) -> Replicas:
    wanted = int(replica_set["spec"]["replicas"])
    available = min(_count(replica_set, "availableReplicas"), wanted)
    return Replicas(name_of(replica_set), wanted, available)


def _count(replica_set: KubeObject, field: str) -> int:
    return int((replica_set.get("status") or {}).get(field) or 0)


def _revision(replica_set: KubeObject) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _status(deployment: KubeObject, new: str, sets: list[KubeObject], now: str) -> KubeObject:
    desired = int(deployment["spec"]["replicas"])
    available = sum(_count(s, "availableReplicas") for s in sets)
    updated = sum(_count(s, "replicas") for s in sets if name_of(s) == new)
    replicas = sum(_count(s, "replicas") for s in sets)
    counts = {
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": sum(_count(s, "readyReplicas") for s in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(max(replicas, desired) - available, 0),
    }
    rolling = deployment["spec"]["strategy"].get("rollingUpdate")
    fewer = limits(desired, rolling["maxSurge"], rolling["maxUnavailable"]) if rolling else None
    least = desired - (fewer.unavailable if fewer else 0)
    is_done = updated == replicas == available == desired
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        **{name: value for name, value in counts.items() if value},
        "conditions": [
            _condition(deployment, "Available", now, _AVAILABLE[available >= least]),
            _condition(deployment, "Progressing", now, _PROGRESSING[is_done]),
        ],
    }


# Status, reason and message.
_AVAILABLE = {
    True: ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
    False: (
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
    ),
}
_PROGRESSING = {
    True: ("True", "NewReplicaSetAvailable", "The new replica set has successfully progressed."),
    False: ("True", "ReplicaSetUpdated", "The new replica set is progressing."),
}


def _condition(
    deployment: KubeObject, kind: str, now: str, words: tuple[str, str, str]
) -> KubeObject:
    """The condition as it stands, or with the new state and time."""
    status, reason, message = words
    known = (deployment.get("status") or {}).get("conditions") or ()
    before: KubeObject = next((c for c in known if c["type"] == kind), {})
    if (before.get("status"), before.get("reason")) == (status, reason):
        return before
    since = before.get("lastTransitionTime", now) if before.get("status") == status else now
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": since,
    }
