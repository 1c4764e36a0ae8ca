"""The columns of pods: how ready, in which state and why, how often restarted (printers `printPod`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydra_testbed.api._tables.ages import age
from pydra_testbed.api._tables.model import AGE, NAME, TableColumn, at, of
from pydra_testbed.objects import KubeObject

_NONE = "<none>"


def _ready(pod: KubeObject, _now: datetime) -> str:
    ready = sum(bool(entry.get("ready")) for entry in _statuses(pod))
    return f"{ready}/{len(pod['spec'].get('containers') or ())}"


def _statuses(pod: KubeObject, name: str = "containerStatuses") -> list[KubeObject]:
    return list((pod.get("status") or {}).get(name) or ())


def _state(pod: KubeObject, _now: datetime) -> str:
    status = pod.get("status") or {}
    told = str(status.get("reason") or status.get("phase") or "")
    gated = any(
        (entry.get("type"), entry.get("reason")) == ("PodScheduled", "SchedulingGated")
        for entry in status.get("conditions") or ()
    )
    told = "SchedulingGated" if gated else told
    told = _initializing(pod) or _running(pod, told)
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return told


def _initializing(pod: KubeObject) -> str:
    """`Init:…` until every init container has ended well."""
    statuses = _statuses(pod, "initContainerStatuses")
    for index, entry in enumerate(statuses):
        state = entry.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if ended is not None:
            return f"Init:{_ended(ended)}"
        if waiting.get("reason", "PodInitializing") != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len(statuses)}"
    return ""


def _running(pod: KubeObject, told: str) -> str:
    """The reason of the first container that has one; running containers beside ended ones count."""
    runs = False
    for entry in reversed(_statuses(pod)):
        state = entry.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            told = str(waiting["reason"])
        elif ended is not None:
            told = _ended(ended)
        elif entry.get("ready") and state.get("running") is not None:
            runs = True
    if told == "Completed" and runs:
        return "Running" if _is_ready(pod) else "NotReady"
    return told


def _ended(state: KubeObject) -> str:
    if state.get("reason"):
        return str(state["reason"])
    if state.get("signal"):
        return f"Signal:{state['signal']}"
    return f"ExitCode:{state.get('exitCode', 0)}"


def _is_ready(pod: KubeObject) -> bool:
    conditions: Iterable[Any] = (pod.get("status") or {}).get("conditions") or ()
    return any((c.get("type"), c.get("status")) == ("Ready", "True") for c in conditions)


def _restarts(pod: KubeObject, now: datetime) -> str:
    count = sum(int(entry.get("restartCount") or 0) for entry in _statuses(pod))
    ends = [at(entry, "lastState.terminated.finishedAt") for entry in _statuses(pod)]
    last = max((end for end in ends if end), default="")
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


POD_COLUMNS = (
    NAME,
    TableColumn("Ready", _ready),
    TableColumn("Status", _state),
    TableColumn("Restarts", _restarts),
    AGE,
    TableColumn("IP", of("status.podIP", _NONE), priority=1),
    TableColumn("Node", of("spec.nodeName", _NONE), priority=1),
    TableColumn("Nominated Node", of("status.nominatedNodeName", _NONE), priority=1),
    TableColumn("Readiness Gates", lambda _pod, _now: _NONE, priority=1),
)
