"""What a claim is told of its devices' health: `status.devices` by server-side apply (KEP-4817).

Entries of other drivers in the same list stay theirs: this field manager owns those of one driver only. Written
when a device of a claim is not healthy, and when it is again; a claim of healthy devices costs no write.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec

from pydra_core._api.client import KubeClient
from pydra_core.errors import ApiError
from pydra_core.health import DeviceHealth, Health

_TYPE = "Healthy"
_APPLY = "application/apply-patch+yaml"
_STATUS = {Health.HEALTHY: "True", Health.UNHEALTHY: "False", Health.UNKNOWN: "Unknown"}
_MESSAGE = 1024
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")

Entry: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimDevice:
    """One allocated device of a claim, and how it is."""

    health: DeviceHealth
    share_id: str = ""


class _Condition(msgspec.Struct):
    type: str
    status: str


class _Entry(msgspec.Struct):
    driver: str
    conditions: list[_Condition] | None = None


class _Status(msgspec.Struct):
    devices: list[_Entry] | None = None


class _Claim(msgspec.Struct):
    status: _Status | None = None


class DeviceStatus:
    """Reads and writes the entries of one driver."""

    def __init__(self, client: KubeClient, driver: str) -> None:
        self._client = client
        self._driver = driver
        self._manager = f"{driver}/pydra-core"

    async def says_unhealthy(self, namespace: str, name: str) -> bool:
        """Whether a claim says of a device of this driver that it is not healthy. Raises `ApiError`."""
        content = await self._client.get(_path(namespace, name))
        try:
            claim = msgspec.json.decode(content, type=_Claim)
        except (msgspec.MsgspecError, UnicodeDecodeError) as err:
            raise ApiError(f"API GET claim {namespace}/{name}: cannot be read: {err}") from err
        entries = (claim.status and claim.status.devices) or []
        return any(
            condition.type == _TYPE and condition.status != "True"
            for entry in entries
            if entry.driver == self._driver
            for condition in entry.conditions or []
        )

    async def apply(
        self, namespace: str, name: str, uid: str, devices: Sequence[ClaimDevice]
    ) -> None:
        """Tell a claim how its devices are. Raises `ApiError`."""
        body = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "status": {"devices": list(self._entries(devices))},
        }
        query = f"?fieldManager={quote(self._manager, safe='')}&force=true"
        path = f"{_path(namespace, name)}/status{query}"
        await self._client.send("PATCH", path, body, content_type=_APPLY)

    def _entries(self, devices: Iterable[ClaimDevice]) -> Iterable[Entry]:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for device in devices:
            health = device.health
            condition = {
                "type": _TYPE,
                "status": _STATUS[health.health],
                "reason": _reason(health),
                "message": health.message[:_MESSAGE],
                "lastTransitionTime": now,
            }
            entry = {"driver": self._driver, "pool": health.pool, "device": health.device}
            share = {"shareID": device.share_id} if device.share_id else {}
            yield {**entry, **share, "conditions": [condition]}


def _reason(health: DeviceHealth) -> str:
    fits = len(health.reason) <= _MESSAGE and _REASON.fullmatch(health.reason)
    return health.reason if fits else str(health.health).title()


def _path(namespace: str, name: str) -> str:
    return f"/apis/resource.k8s.io/v1/namespaces/{quote(namespace)}/resourceclaims/{quote(name)}"
