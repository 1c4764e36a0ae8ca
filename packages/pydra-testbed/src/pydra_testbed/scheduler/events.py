"""Scheduling events, as `kubectl describe pod` shows them. One that cannot be written is logged, no more."""

from __future__ import annotations

import logging
from itertools import count

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.objects import (
    Api,
    ApiStatusError,
    KubeObject,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)

_log = logging.getLogger(__name__)

_COMPONENT = "default-scheduler"


class SchedulingEvents:
    """Writes events about pods."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._sequence = count()

    async def scheduled(self, pod: KubeObject, node: str) -> None:
        """The pod got a node."""
        text = f"Successfully assigned {key_of(pod)} to {node}"
        await self._write(pod, "Normal", "Scheduled", text)

    async def waiting(self, pod: KubeObject, node: str) -> None:
        """The pod's devices have to get ready first."""
        text = f"waiting for binding conditions for device on node {node}"
        await self._write(pod, "Normal", "BindingConditionsPending", text)

    async def failed(self, pod: KubeObject, message: str) -> None:
        """The pod got none."""
        await self._write(pod, "Warning", "FailedScheduling", message)

    async def _write(self, pod: KubeObject, kind: str, reason: str, message: str) -> None:
        now, namespace = self._clock.now(), namespace_of(pod)
        stamp = int(now.timestamp() * 1e9) + next(self._sequence)
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name_of(pod)}.{stamp:x}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": name_of(pod),
                "namespace": namespace,
                "uid": uid_of(pod),
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "source": {"component": _COMPONENT},
            "reportingComponent": _COMPONENT,
            "reportingInstance": _COMPONENT,
        }
        try:
            await self._api.create("events", body, namespace)
        except ApiStatusError as problem:
            extra = {"pod": key_of(pod), "reason": reason, "error": problem.message}
            _log.warning("event not recorded", extra=extra)
