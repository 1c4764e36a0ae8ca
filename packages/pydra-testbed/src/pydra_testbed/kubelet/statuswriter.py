"""Writes a pod's status to the API server, over conflicts and outages.

One per pod worker; a status is computed from the pod as it stands there at that moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from pydra_testbed.clock import Clock
from pydra_testbed.objects import (
    Api,
    ApiStatusError,
    KubeObject,
    ObjectRef,
    Preconditions,
    name_of,
    namespace_of,
    uid_of,
)

_log = logging.getLogger(__name__)

# Seconds between two tries while the API server does not take a write.
_RETRY = 1.0

# Conflicts taken without a pause; each means that somebody else succeeded.
_CONFLICTS = 5


class PodStatusWriter:
    """Writes for one pod; a pod that is gone or was replaced is no error."""

    def __init__(self, api: Api, clock: Clock, pod: KubeObject) -> None:
        self._api = api
        self._clock = clock
        self._ref = ObjectRef("pods", name_of(pod), namespace_of(pod))
        self._uid = uid_of(pod)
        self._writing = asyncio.Lock()

    async def write(self, status: Callable[[KubeObject], KubeObject]) -> None:
        """Replace the status by `status(pod)`; returns when it stands in the API."""
        async with self._writing:
            while not await self._attempt(self._write(status)):
                await self._clock.sleep(_RETRY)

    async def delete(self) -> None:
        """Remove the pod object for good (grace period 0)."""
        while not await self._attempt(self._delete()):
            await self._clock.sleep(_RETRY)

    async def _attempt(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether that is done; a conflict and an outage are tried again, a missing pod is done."""
        try:
            await work
        except ApiStatusError as error:
            if error.reason == "NotFound":
                return True
            extra = {"pod": f"{self._ref.namespace}/{self._ref.name}", "error": error.message}
            _log.warning("pod not written, trying again", extra=extra)
            return False
        return True

    async def _write(self, status: Callable[[KubeObject], KubeObject]) -> None:
        for _ in range(_CONFLICTS):
            pod = await self._api.get("pods", self._ref.name, self._ref.namespace)
            wanted = status(pod)
            if uid_of(pod) != self._uid or wanted == pod.get("status"):
                return
            try:
                await self._api.update("pods", {**pod, "status": wanted}, "status")
            except ApiStatusError as error:
                if error.reason != "Conflict":
                    raise
            else:
                return
        raise ApiStatusError(409, "Conflict", "somebody else keeps writing this pod")

    async def _delete(self) -> None:
        try:
            await self._api.delete(self._ref, 0, Preconditions(uid=self._uid))
        except ApiStatusError as error:
            if error.reason != "Conflict":
                raise
