"""Pod events, as `kubectl describe pod` shows them.

Written by the pod workers. The same thing said again about the same pod raises the count of the first
event, as Kubernetes' recorder does. An event that cannot be written is logged and never fails a pod.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.objects import (
    Api,
    ApiStatusError,
    KubeObject,
    ObjectRef,
    Patch,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)

_log = logging.getLogger(__name__)

_COMPONENT = "kubelet"


@dataclass(slots=True)
class _Written:
    ref: ObjectRef
    count: int


class EventRecorder:
    """Records events of one node's kubelet."""

    def __init__(self, api: Api, clock: Clock, node: str) -> None:
        self._api = api
        self._clock = clock
        self._node = node
        self._written: dict[tuple[str, str, str], _Written] = {}
        self._sequence = 0

    def forget(self, pod: KubeObject) -> None:
        """Stop counting for a pod that is gone."""
        uid = uid_of(pod)
        self._written = {key: seen for key, seen in self._written.items() if key[0] != uid}

    async def record(self, pod: KubeObject, kind: str, reason: str, message: str) -> None:
        """Tell what happened to a pod; `kind` is Normal or Warning."""
        key = (uid_of(pod), reason, message)
        seen = self._written.get(key)
        try:
            if seen is None:
                self._written[key] = _Written(await self._create(pod, kind, reason, message), 1)
            else:
                seen.count += 1
                change = {"count": seen.count, "lastTimestamp": rfc3339(self._clock.now())}
                await self._api.patch(seen.ref, Patch(change))
        except ApiStatusError as error:
            self._written.pop(key, None)
            extra = {"pod": key_of(pod), "reason": reason, "error": error.message}
            _log.warning("event not recorded", extra=extra)

    async def _create(self, pod: KubeObject, kind: str, reason: str, message: str) -> ObjectRef:
        now = rfc3339(self._clock.now())
        self._sequence += 1
        stamp = int(self._clock.now().timestamp() * 1e9) + self._sequence
        ref = ObjectRef("events", f"{name_of(pod)}.{stamp:x}", namespace_of(pod))
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "involvedObject": _reference(pod),
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": _COMPONENT, "host": self._node},
            "reportingComponent": _COMPONENT,
            "reportingInstance": self._node,
        }
        await self._api.create("events", body, ref.namespace)
        return ref


def _reference(pod: KubeObject) -> KubeObject:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": name_of(pod),
        "namespace": namespace_of(pod),
        "uid": uid_of(pod),
        "resourceVersion": pod["metadata"].get("resourceVersion", ""),
    }
