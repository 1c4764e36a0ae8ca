"""Events about objects, as `kubectl describe` shows them.

Written by kubelets and controllers. The same thing said again about the same object raises the count of the
first event, as Kubernetes' recorder does. An event that cannot be written is logged and fails nothing.
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

_CLUSTER_NAMESPACE = "default"


@dataclass(slots=True)
class _Written:
    ref: ObjectRef
    count: int


class EventRecorder:
    """Records what one component says; `host` is the node of a component that runs on one."""

    def __init__(self, api: Api, clock: Clock, component: str, host: str = "") -> None:
        self._api = api
        self._clock = clock
        self._component = component
        self._host = host
        self._written: dict[tuple[str, str, str], _Written] = {}
        self._sequence = 0

    def forget(self, about: KubeObject) -> None:
        """Stop counting for an object that is gone."""
        uid = uid_of(about)
        self._written = {key: seen for key, seen in self._written.items() if key[0] != uid}

    async def record(self, about: KubeObject, kind: str, reason: str, message: str) -> None:
        """Tell what happened to an object; `kind` is Normal or Warning."""
        key = (uid_of(about), reason, message)
        seen = self._written.get(key)
        try:
            if seen is None:
                self._written[key] = _Written(await self._create(about, kind, reason, message), 1)
            else:
                seen.count += 1
                change = {"count": seen.count, "lastTimestamp": rfc3339(self._clock.now())}
                await self._api.patch(seen.ref, Patch(change))
        except ApiStatusError as error:
            self._written.pop(key, None)
            extra = {"about": key_of(about), "reason": reason, "error": error.message}
            _log.warning("event not recorded", extra=extra)

    async def _create(self, about: KubeObject, kind: str, reason: str, message: str) -> ObjectRef:
        now = rfc3339(self._clock.now())
        self._sequence += 1
        stamp = int(self._clock.now().timestamp() * 1e9) + self._sequence
        namespace = namespace_of(about) or _CLUSTER_NAMESPACE
        ref = ObjectRef("events", f"{name_of(about)}.{stamp:x}", namespace)
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "involvedObject": _reference(about),
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        await self._api.create("events", body, ref.namespace)
        return ref


def _reference(about: KubeObject) -> KubeObject:
    reference = {
        "apiVersion": about.get("apiVersion", "v1"),
        "kind": about.get("kind", "Pod"),
        "name": name_of(about),
        "uid": uid_of(about),
        "resourceVersion": about["metadata"].get("resourceVersion", ""),
    }
    return reference | ({"namespace": namespace_of(about)} if namespace_of(about) else {})
