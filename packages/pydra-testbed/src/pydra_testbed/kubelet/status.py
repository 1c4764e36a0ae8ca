"""A pod's status from the records of its containers (Kubernetes' pod life cycle).

Pure: the pod worker passes what it knows and the status that stands in the API, and writes the result.
What others wrote (claim names, the scheduler's conditions) stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydra_testbed.kubelet.states import (
    ContainerRecord,
    Running,
    Terminated,
    Waiting,
    container_status,
)
from pydra_testbed.objects import KubeObject

_OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass(frozen=True, slots=True)
class PodSituation:
    """All a pod worker knows: records in the order of the spec, and where the pod stands.

    `prepared` once claims are prepared and containers may start; `over` when nothing runs any more and
    all claims are unprepared: only then a phase is final; `resources` holds what each container's status says of
    its devices; `sidecars` are the names of init containers that keep running.
    """

    init: tuple[ContainerRecord, ...]
    main: tuple[ContainerRecord, ...]
    prepared: bool = False
    over: bool = False
    rejected: tuple[str, str] | None = None
    resources: Mapping[str, Sequence[KubeObject]] = field(default_factory=dict)
    sidecars: frozenset[str] = frozenset()

    @property
    def uninitialized(self) -> list[str]:
        """The init containers that have not ended well, and the sidecars that have not begun."""
        return [record.name for record in self.init if not self._is_initialized(record)]

    def _is_initialized(self, record: ContainerRecord) -> bool:
        if record.name in self.sidecars:
            return bool(record.last) or not isinstance(record.state, Waiting)
        return _succeeded(record)


def pod_status(pod: KubeObject, situation: PodSituation, address: str, now: str) -> KubeObject:
    """The new `status` of `pod`."""
    old = pod.get("status") or {}
    if situation.rejected:
        reason, message = situation.rejected
        return {**old, "phase": "Failed", "reason": reason, "message": message, "startTime": now}
    phase = pod_phase(str(pod["spec"].get("restartPolicy", "Always")), situation)
    status = {
        **old,
        "phase": phase,
        "conditions": _merged(old.get("conditions") or (), _conditions(situation, phase), now),
        "hostIP": address,
        "hostIPs": [{"ip": address}],
        "startTime": old.get("startTime") or now,
        "containerStatuses": _statuses(pod, "containers", situation),
    }
    if situation.prepared and not situation.over:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    if situation.init:
        status["initContainerStatuses"] = _statuses(pod, "initContainers", situation)
    return status


def pod_phase(policy: str, situation: PodSituation) -> str:
    """Pending, Running, Succeeded or Failed.

    While the pod is not over, a phase that would be final is held back as Running.
    """
    passing = (record for record in situation.init if record.name not in situation.sidecars)
    if any(_failed(record) and policy == "Never" for record in passing):
        return "Failed" if situation.over else "Pending"
    if not situation.over and situation.uninitialized:
        return "Pending"
    if not situation.over:
        untouched = [r for r in situation.main if isinstance(r.state, Waiting) and not r.last]
        return "Pending" if untouched else "Running"
    if all(_succeeded(record) for record in situation.main):
        return "Succeeded"
    return "Failed"


def _succeeded(record: ContainerRecord) -> bool:
    return isinstance(record.state, Terminated) and record.state.exit_code == 0


def _failed(record: ContainerRecord) -> bool:
    return isinstance(record.state, Terminated) and record.state.exit_code != 0


def _statuses(pod: KubeObject, name: str, situation: PodSituation) -> list[KubeObject]:
    images = {c["name"]: str(c.get("image", "")) for c in pod["spec"].get(name) or ()}
    statuses = []
    for record in situation.main if name == "containers" else situation.init:
        passes = name == "initContainers" and record.name not in situation.sidecars
        status = container_status(record, images.get(record.name, ""), init=passes)
        if held := situation.resources.get(record.name):
            status["allocatedResourcesStatus"] = list(held)
        statuses.append(status)
    return statuses


def _conditions(situation: PodSituation, phase: str) -> dict[str, KubeObject]:
    lasting = [r for r in situation.init if r.name in situation.sidecars]
    unready = [r.name for r in (*lasting, *situation.main) if not isinstance(r.state, Running)]
    ready = _all_done(unready, "ContainersNotReady", "unready")
    if phase == "Succeeded":
        ready = {"status": "False", "reason": "PodCompleted"}
    elif phase == "Failed":
        ready = {"status": "False", "reason": "PodFailed"}
    return {
        "PodReadyToStartContainers": {"status": str(situation.prepared and not situation.over)},
        "Initialized": _all_done(situation.uninitialized, "ContainersNotInitialized", "incomplete"),
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": {"status": "True"},
    }


def _all_done(missing: Sequence[str], reason: str, word: str) -> KubeObject:
    if not missing:
        return {"status": "True"}
    message = f"containers with {word} status: [{' '.join(missing)}]"
    return {"status": "False", "reason": reason, "message": message}


def _merged(old: Sequence[KubeObject], new: dict[str, KubeObject], now: str) -> list[KubeObject]:
    """Old conditions of others, then ours; a transition time changes with the status only."""
    known = {condition["type"]: condition for condition in old}
    others = [condition for kind, condition in known.items() if kind not in _OURS]
    ours = []
    for kind, fields in new.items():
        before = known.get(kind, {})
        same = before.get("status") == fields["status"]
        since = before.get("lastTransitionTime", now) if same else now
        ours.append({"type": kind, **fields, "lastProbeTime": None, "lastTransitionTime": since})
    return others + ours
