"""Tells claims how their devices are: a background job between the board and `status.devices`.

A claim is looked at when the health of one of its devices changes. Refusals are logged once with the remedy and
not repeated; what passes by itself is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from pydra_core._api.device_status import ClaimDevice, DeviceStatus
from pydra_core._api.wanted import Key
from pydra_core._node.health.board import Board
from pydra_core._state.records import Prepared
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import ApiError
from pydra_core.health import Health

_log = logging.getLogger(__name__)
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_GONE = (404, 409)
"""No such claim any more, or one of another UID."""


class ClaimsStatus:
    """Keeps `status.devices` of prepared claims in step with the board."""

    def __init__(
        self,
        status: DeviceStatus,
        board: Board,
        prepared: Callable[[], Sequence[Prepared]],
        metrics: Metrics,
    ) -> None:
        self._status = status
        self._board = board
        self._prepared = prepared
        self._metrics = metrics
        self._dirty: dict[str, Prepared] = {}
        self._told: dict[str, tuple[ClaimDevice, ...]] = {}
        self._refused = 0
        self._wake = asyncio.Event()

    def look_at(self, keys: frozenset[Key]) -> None:
        """Look again at the claims that use one of these devices."""
        prepared = self._prepared()
        for claim in prepared:
            if any((use.pool, use.device) in keys for use in claim.uses if not use.admin):
                self._dirty[claim.uid] = claim
        if self._dirty:
            known = {claim.uid for claim in prepared}
            self._told = {uid: told for uid, told in self._told.items() if uid in known}
            self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        delay = _PAUSE
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty:
                uid = next(iter(self._dirty))
                claim = self._dirty.pop(uid)
                try:
                    await self._tell(claim)
                    delay = _PAUSE
                except ApiError as err:
                    if self._is_final(claim, err):
                        continue
                    self._dirty.setdefault(uid, claim)
                    await asyncio.sleep(max(delay, min(err.retry_after or 0.0, _LONGEST_PAUSE)))
                    delay = min(delay * 2, _LONGEST_PAUSE)

    async def _tell(self, claim: Prepared) -> None:
        devices = tuple(self._devices(claim))
        if self._told.get(claim.uid) == devices:
            return
        well = all(d.health.health is Health.HEALTHY for d in devices)
        known = [d for d in devices if d.health.health is not Health.UNKNOWN]
        if claim.uid not in self._told:
            if not known:
                return
            if well and not await self._status.says_unhealthy(claim.namespace, claim.name):
                self._told[claim.uid] = devices  # the usual case: nothing to say
                return
        await self._status.apply(claim.namespace, claim.name, claim.uid, devices)
        self._metrics.status_write("")
        self._told[claim.uid] = devices

    def _devices(self, claim: Prepared) -> list[ClaimDevice]:
        found = []
        for use in claim.uses:
            health = self._board.health((use.pool, use.device))
            if health is not None and not use.admin:
                found.append(ClaimDevice(health, use.share_id))
        return found

    def _is_final(self, claim: Prepared, err: ApiError) -> bool:
        if err.patience:
            return False
        self._metrics.status_write(err.reason)
        level = logging.DEBUG if err.status in _GONE or self._refused else logging.WARNING
        self._refused += err.status not in _GONE
        _log.log(
            level,
            "claim not told of its devices' health",
            extra={
                "claim": f"{claim.namespace}/{claim.name}",
                "why": str(err),
                "remedy": "allow patch of resourceclaims/status, and associated-node:patch of resourceclaims/driver",
            },
        )
        return True
