"""Both sides of one driver process, put together: which is served, what each holds, and that the other shows it.

`process` makes one, for every driver: one without extended resources speaks DRA and has no second side.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from pydra_core._api.client import KubeClient
from pydra_core._api.pools import local_pools
from pydra_core._api.wanted import Key, Marks
from pydra_core._legacy import checkpoint, mode_file
from pydra_core._legacy.deciding import Deciding
from pydra_core._legacy.listing import Listing
from pydra_core._legacy.marks import Silicon, legacy_taints
from pydra_core._legacy.mode import Mode, Wish
from pydra_core._legacy.podresources import PodResources
from pydra_core._legacy.releasing import Releasing
from pydra_core._legacy.side import LegacySide
from pydra_core._legacy.vetoing import Veto
from pydra_core._node.health.care import Care
from pydra_core._node.prepare import ClaimPath
from pydra_core._node.registration import Registration
from pydra_core._node.sockets import PLUGINS, locate
from pydra_core._state.instances import Instances
from pydra_core._state.journal import Journal
from pydra_core._values import Inventory, Taint
from pydra_core.driver import Driver
from pydra_core.settings import Settings

_log = logging.getLogger(__name__)
_SHOWN = 10
_FIRST = 3.0
"""Seconds for which what is published first waits until it is known what pods have."""
_GATHER = 0.02
"""Seconds in which changes of holders are gathered."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the process both sides stand on."""

    driver: Driver
    settings: Settings
    client: KubeClient
    registration: Registration
    claims: ClaimPath
    journal: Journal
    instances: Instances
    care: Care


class Dual:
    """The modes of one driver process."""

    def __init__(self, wish: Wish, parts: Parts, grace: Callable[[], float]) -> None:
        """Put it together; nothing is served before the jobs run.

        Args:
            wish: what the operator asked for.
            parts: of the process.
            grace: seconds that calls in flight still have when the process ends.
        """
        self.look_again: Callable[[], None] = lambda: None
        self._parts = parts
        self._silicon = Silicon()
        self._timer: asyncio.TimerHandle | None = None
        self._taints: Mapping[Key, tuple[Taint, ...]] = {}
        self._left_out: tuple[str, ...] = ()
        self._has_looked = False
        node = parts.settings.node_name
        self._deciding = Deciding(wish, parts.client, node, parts.registration)
        parts.registration.on_change = self._dra_known
        self._count(self._deciding.mode)
        self._side = self._made(grace) if parts.driver.serves_resources else None
        self._releasing = self._releases(self._side) if self._side else None

    def jobs(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What runs beside the driver's calls."""
        if not self._side or not self._releasing:
            return ()
        return (self._deciding.run, self._releasing.run, *self._side.jobs())

    def found(self, inventory: Inventory) -> None:
        """Take note of what there is now."""
        if self._side:
            self._silicon.found(local_pools(inventory, self._parts.settings.node_name))
            self._side.found(inventory)
            self._look_at_holders()  # at once: what is published first has the taints
            self._tell_left_out()

    async def look_first(self) -> None:
        """Hold what pods have already, of another device plugin's, before claims that wait can get it.

        A kubelet that does not tell holds up what is published for seconds, once.
        """
        if self._has_looked or not self._side or not self._releasing:
            return
        self._has_looked = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST):
                await self._side.offered.wait()
                await self._releasing.look(first=True)
        self._look_at_holders()

    def health_changed(self) -> None:
        """Take note that devices are sick, well or set aside by now. Cheap."""
        if self._side:
            self._side.look_again()

    def leads(self) -> bool:
        """Whether no younger instance of the driver does what one is enough for."""
        instances = self._parts.instances
        return not instances.superseded and not instances.gives_no_more

    def marks(self) -> Marks:
        """What is known of devices' health, and in addition what pods have of them."""
        marks = self._parts.care.marks()
        if not self._taints:
            return marks
        given = {key: (*marks.taints.get(key, ()), *more) for key, more in self._taints.items()}
        return replace(marks, taints={**marks.taints, **given})

    @property
    def dra_matters(self) -> bool:
        """As `Deciding.dra_matters`."""
        return self._deciding.dra_matters

    @property
    def problem(self) -> str:
        """Why resources are not served as they should be; empty if they are, or need not be."""
        return self._side.problem if self._side else ""

    def _made(self, grace: Callable[[], float]) -> LegacySide:
        parts, deciding = self._parts, self._deciding
        listing = Listing(lambda: parts.journal.ledger, parts.care.unfit, self._silicon)
        side = LegacySide(
            parts.driver,
            parts.settings,
            parts.claims,
            parts.journal,
            parts.instances.boot,
            listing,
            parts.care.metrics,
        )
        side.grace = grace
        side.wanted = lambda: deciding.legacy
        side.beside_claims = lambda: deciding.dra_matters
        side.superseded = lambda: parts.instances.gives_no_more
        side.on_change.append(lambda: parts.instances.set_gives(gives=side.registered))
        side.on_kubelet.append(deciding.kubelet_changed)
        parts.claims.check_shared = self._silicon.check_free
        parts.journal.changed.append(self._holders_changed)
        deciding.on_change.append(self._decided)
        return side

    def _releases(self, side: LegacySide) -> Releasing:
        parts, deciding = self._parts, self._deciding
        settings = parts.settings
        releasing = Releasing(
            side,
            side.offers,
            PodResources(settings.pod_resources).list,
            parts.care.metrics,
            node=settings.node_name,
            in_pod=bool(settings.pod_uid),
        )
        releasing.active = lambda: deciding.legacy
        releasing.leads = self.leads
        file = checkpoint.Checkpoint(settings.kubelet_root / PLUGINS / checkpoint.FILE_NAME)
        releasing.kept = Veto(file.names, side.send_again).kept
        side.on_given.append(releasing.look_again)
        return releasing

    def _decided(self, mode: Mode) -> None:
        parts = self._parts
        mode_file.write(locate(parts.settings, parts.driver.name).data_dir, mode)
        self._count(mode)
        self._tell_left_out()
        if self._side:
            self._side.wake()

    def _count(self, mode: Mode) -> None:
        self._parts.care.metrics.set_mode(dra=mode.dra, device_plugin=mode.legacy)

    def _dra_known(self, known: bool) -> None:  # noqa: FBT001 (the kubelet's word)
        self._parts.instances.set_registered(registered=known)
        self._deciding.registration_changed(known)

    def _tell_left_out(self) -> None:
        """Say once which devices pods without claims cannot have, because claims are served beside them."""
        both = self._deciding.legacy and self._deciding.dra_matters
        left_out = self._silicon.drawing if both else ()
        if left_out and left_out != self._left_out:
            shown = ",".join(left_out[:_SHOWN]) + (",..." if len(left_out) > _SHOWN else "")
            details = {"count": len(left_out), "devices": shown}
            _log.info("devices that draw on counters are for claims alone", extra=details)
        self._left_out = left_out

    def _holders_changed(self) -> None:
        """Look soon, once for all that changes within a moment: pods wait while they are given devices."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_GATHER, self._look_at_holders)

    def _look_at_holders(self) -> None:
        self._timer = None
        ledger, driver = self._parts.journal.ledger, self._parts.driver.name
        taints = legacy_taints(driver, ledger, self._silicon)
        if taints != self._taints:
            self._taints = taints
            self.look_again()
