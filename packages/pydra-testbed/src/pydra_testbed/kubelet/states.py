"""What a container of a pod is doing, as values the status is computed from.

Kept by the pod worker, one `ContainerRecord` per container of the pod's spec.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from pydra_testbed.clock import rfc3339
from pydra_testbed.objects import KubeObject

_ID_SCHEME = "pydra-testbed://"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not running, and why."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Running since `started_at`."""

    started_at: datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    """Ended; `exit_code` is 128 + n for signal n."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime
    finished_at: datetime
    container_id: str = ""


ContainerState: TypeAlias = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One container: its present state, how it ended last, how often it was started again."""

    name: str
    state: ContainerState
    last: Terminated | None = None
    restarts: int = 0
    container_id: str = ""

    @property
    def attempt(self) -> int:
        """The number the next start gets, from 0."""
        ever_started = self.container_id or self.last or isinstance(self.state, Terminated)
        return self.restarts + 1 if ever_started else self.restarts

    def waits(self, reason: str, message: str = "") -> ContainerRecord:
        """Not running for that reason; a state that ended becomes the last one."""
        return replace(self, state=Waiting(reason, message), last=self._ended())

    def runs(self, container_id: str, started_at: datetime) -> ContainerRecord:
        """Started, as the next attempt."""
        return replace(
            self,
            state=Running(started_at),
            last=self._ended(),
            restarts=self.attempt,
            container_id=container_id,
        )

    def ends(
        self, exit_code: int, finished_at: datetime, reason: str = "", message: str = ""
    ) -> ContainerRecord:
        """Ended with that code."""
        started_at = self.state.started_at if isinstance(self.state, Running) else finished_at
        word = reason or ("Error" if exit_code else "Completed")
        ended = Terminated(exit_code, word, message, started_at, finished_at, self.container_id)
        return replace(self, state=ended)

    def _ended(self) -> Terminated | None:
        return self.state if isinstance(self.state, Terminated) else self.last


def container_status(record: ContainerRecord, image: str, *, init: bool) -> KubeObject:
    """One entry of `status.containerStatuses` (core/v1 ContainerStatus)."""
    running = isinstance(record.state, Running)
    succeeded = isinstance(record.state, Terminated) and record.state.exit_code == 0
    status: KubeObject = {
        "name": record.name,
        "state": _state(record.state),
        "lastState": _state(record.last) if record.last else {},
        "ready": succeeded if init else running,
        "started": running,
        "restartCount": record.restarts,
        "image": image,
        "imageID": "",
    }
    if record.container_id:
        status["containerID"] = f"{_ID_SCHEME}{record.container_id}"
    return status


def _state(state: ContainerState) -> KubeObject:
    if isinstance(state, Running):
        return {"running": {"startedAt": rfc3339(state.started_at)}}
    if isinstance(state, Waiting):
        return {"waiting": _with_message({"reason": state.reason}, state.message)}
    terminated = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": rfc3339(state.started_at),
        "finishedAt": rfc3339(state.finished_at),
        "containerID": f"{_ID_SCHEME}{state.container_id}" if state.container_id else "",
    }
    return {"terminated": _with_message(terminated, state.message)}


def _with_message(fields: KubeObject, message: str) -> KubeObject:
    return {**fields, "message": message} if message else fields


def container_id_of(status: KubeObject | None) -> str:
    """The runtime's ID of the container a status speaks of, empty when none was started."""
    return str((status or {}).get("containerID") or "").removeprefix(_ID_SCHEME)


def restored(name: str, status: KubeObject | None, now: datetime, *, runs: bool) -> ContainerRecord:
    """The record of a container an earlier kubelet reported; `runs` when the runtime still has it.

    What was running then and is not any more ended unseen: it counts as killed and is started again.
    """
    waiting = ContainerRecord(name, Waiting("ContainerCreating"))
    if status is None:
        return waiting
    state = status.get("state") or {}
    restarts = int(status.get("restartCount", 0))
    container_id = container_id_of(status)
    last = (status.get("lastState") or {}).get("terminated")
    record = replace(
        waiting,
        last=_terminated(last) if last else None,
        restarts=restarts,
        container_id=container_id,
    )
    if "terminated" in state:
        return replace(record, state=_terminated(state["terminated"]))
    if "running" in state:
        lost = replace(record, state=Running(_moment(state["running"]["startedAt"])))
        if runs:
            return lost
        words = "the container ended while no kubelet watched it"
        return lost.ends(137, now, "ContainerStatusUnknown", words).waits("ContainerCreating")
    return record


def _terminated(fields: KubeObject) -> Terminated:
    return Terminated(
        exit_code=int(fields["exitCode"]),
        reason=str(fields.get("reason", "")),
        message=str(fields.get("message", "")),
        started_at=_moment(fields["startedAt"]),
        finished_at=_moment(fields["finishedAt"]),
        container_id=str(fields.get("containerID") or "").removeprefix(_ID_SCHEME),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
