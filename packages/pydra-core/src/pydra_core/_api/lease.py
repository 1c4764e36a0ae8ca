"""Which of several instances may write: the holder of a Lease (`coordination.k8s.io/v1`).

Called by the process that publishes the pools of a cluster. Clocks are never compared: an instance takes a lease
over when it has seen no renewal for the lease's duration, and its holder stops a third of that earlier. Who stops
in order gives the lease back, so that the next one need not wait.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from pydra_core._api.client import KubeClient, decode_object
from pydra_core.errors import ApiError

_log = logging.getLogger(__name__)
_NOT_FOUND, _CONFLICT = 404, 409
_HOLDS = 2 / 3
"""Part of the duration for which a holder trusts its last renewal."""
_TRIES, _LONGEST = 6, 3.0
"""How often within its duration a lease is looked at, and the most seconds in between: it may be given back."""

Body: TypeAlias = dict[str, Any]


class _Spec(msgspec.Struct):
    holder: str | None = msgspec.field(name="holderIdentity", default=None)
    duration: int | None = msgspec.field(name="leaseDurationSeconds", default=None)
    renewed: str | None = msgspec.field(name="renewTime", default=None)
    transitions: int | None = msgspec.field(name="leaseTransitions", default=None)
    acquired: str | None = msgspec.field(name="acquireTime", default=None)


class Lease:
    """One instance's view of a lease; `run` keeps it up, the rest may be asked at any time."""

    def __init__(
        self, client: KubeClient, namespace: str, name: str, me: str, duration: int
    ) -> None:
        """Begin without it.

        Args:
            client: of the API server.
            namespace: where the lease is.
            name: its name.
            me: what this instance is called, unlike any other.
            duration: seconds after which others may take over when nothing is heard of the holder.
        """
        self.problem = "the lease was not looked at yet"
        self._client = client
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._me = me
        self._duration = duration
        self._until = 0.0
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0
        self._held = asyncio.Event()

    def holds(self) -> bool:
        """Whether this instance may write now."""
        return time.monotonic() < self._until

    async def wait(self) -> None:
        """Return once this instance may write."""
        while not self.holds():
            self._held.clear()
            await self._held.wait()

    async def run(self) -> None:
        """Get the lease when it is free and renew it, until cancelled. API errors are logged and tried again."""
        held = False
        while True:
            try:
                await self._look()
                self.problem = ""
            except ApiError as err:
                if err.status != _CONFLICT:  # else another instance was quicker
                    self.problem = str(err)
                    _log.warning("lease cannot be kept up", extra={"why": str(err)})
            if held != (held := self.holds()):
                _log.info("lease taken" if held else "lease lost")
            pause = min(self._duration / _TRIES, _LONGEST)
            await asyncio.sleep(pause * random.uniform(0.8, 1.0))  # noqa: S311 (spreads load)

    async def release(self) -> None:
        """Give it back, if it is ours, after the last write. One that cannot be given back runs out."""
        if not self.holds():
            return
        self._until = 0.0
        try:
            body, spec = await self._get()
            if body is not None and spec.holder == self._me:
                await self._put(body, {"leaseDurationSeconds": 1, "holderIdentity": None})
        except ApiError as err:
            _log.info("lease not given back", extra={"why": str(err)})

    async def _look(self) -> None:
        began = time.monotonic()  # what is renewed after this is not trusted for longer
        body, spec = await self._get()
        if body is None:
            await self._create()
        elif spec.holder == self._me:
            await self._put(body, {})
        elif self._is_free(spec, time.monotonic()):
            news = {
                "holderIdentity": self._me,
                "acquireTime": _now(),
                "leaseTransitions": (spec.transitions or 0) + 1,
            }
            await self._put(body, news)
        else:
            self._until = 0.0
            return
        self._until = began + self._duration * _HOLDS
        self._held.set()

    def _is_free(self, spec: _Spec, now: float) -> bool:
        seen = (spec.holder or "", spec.renewed or "")
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return not spec.holder or now >= self._seen_at + (spec.duration or self._duration)

    async def _get(self) -> tuple[Body | None, _Spec]:
        try:
            content = await self._client.get(f"{self._path}/{self._name}")
        except ApiError as err:
            if err.status != _NOT_FOUND:
                raise
            return None, _Spec()
        body = decode_object("GET lease", content)
        try:
            return body, msgspec.convert(body.get("spec") or {}, _Spec)
        except msgspec.ValidationError as err:
            raise ApiError(f"lease {self._name}: is not of the expected shape: {err}") from err

    async def _create(self) -> None:
        now = _now()
        spec = {
            "holderIdentity": self._me,
            "leaseDurationSeconds": self._duration,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": spec,
        }
        await self._client.send("POST", self._path, body)

    async def _put(self, body: Body, news: Body) -> None:
        spec = {**(body.get("spec") or {}), "leaseDurationSeconds": self._duration}
        spec |= {"renewTime": _now(), **news}
        left = {key: value for key, value in spec.items() if value is not None}
        await self._client.send("PUT", f"{self._path}/{self._name}", {**body, "spec": left})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
