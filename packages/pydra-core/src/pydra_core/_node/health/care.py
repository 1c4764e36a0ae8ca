"""Everything around the health of one driver's devices, put together for the process that serves it.

Sources are the driver's `watch_health`, the operator's list of devices that are set aside, and the ledger for
devices a claim holds although they are gone. Who is told: the kubelet's stream, the slices, the claims, events.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc

from pydra_core._api.client import KubeClient
from pydra_core._api.device_status import DeviceStatus
from pydra_core._api.events import About, Events
from pydra_core._api.pools import is_local, local_name
from pydra_core._api.wanted import Key, Marks
from pydra_core._node.health.board import Board
from pydra_core._node.health.claims_status import ClaimsStatus
from pydra_core._node.health.stream import HealthStream
from pydra_core._state import set_aside
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import Intent, Prepared
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import Claim, Taint
from pydra_core.driver import Driver
from pydra_core.errors import DeviceUnhealthyError, HostError
from pydra_core.health import DeviceHealth, Health

_log = logging.getLogger(__name__)
_LOOK = 1.0
_SHOWN = 10
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_EFFECTS = ("NoSchedule", "NoExecute", "None")


class Care:
    """The health of one driver's devices on one node."""

    def __init__(
        self,
        driver: Driver,
        node: str,
        ledger: Callable[[], Ledger],
        client: KubeClient,
        metrics: Metrics,
        folder: Path,
    ) -> None:
        """Put it together.

        Args:
            driver: whose devices.
            node: the node's name, which is its pool's too.
            ledger: what is in whose hands now.
            client: of the API server.
            metrics: of this process.
            folder: the driver's own directory, where `taint` leaves its list.
        """
        self.metrics = metrics
        self.board = Board(node, driver.health_policy, metrics)
        self.board.is_counted = driver.watches_health
        self.stream = HealthStream(self.board, metrics)
        self.events = Events(client, driver.name, node, metrics)
        self.look_again: Callable[[], None] = lambda: None
        self.leads: Callable[[], bool] = lambda: True
        self._driver = driver
        self._node = node
        self._ledger = ledger
        self._file = folder / set_aside.FILE_NAME
        self._told_unreadable = False
        self._aside: dict[str, set_aside.SetAside] = {}
        self._found: tuple[Key, ...] = ()
        self._vanished: frozenset[Key] = frozenset()
        self._unhealthy: dict[Key, DeviceHealth] = {}
        self._status = ClaimsStatus(
            DeviceStatus(client, driver.name),
            self.board,
            self._claims,
            metrics,
        )
        self.board.listeners.append(self._changed)
        self._read_list()

    def jobs(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What runs beside the driver's calls."""
        watching = (self._watch,) if self._driver.watches_health else ()
        return (
            *watching, self.board.settle, self._follow_list, self._status.run, self.events.run,
        )  # fmt: skip

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """The gRPC services to put on the DRA socket."""
        return self.stream.handlers()

    def found(self, devices: Sequence[Key]) -> None:
        """Take note of what there is now, on this node."""
        self._found = tuple(devices)
        self._take_stock()

    def released(self) -> None:
        """Look whether a device that was kept only for a claim can go."""
        if self._vanished:
            self._take_stock()
            self.look_again()

    def marks(self) -> Marks:
        """What the publisher adds to the inventory."""
        taints: dict[Key, tuple[Taint, ...]] = {
            self._key(name): (
                Taint(
                    key=f"{self._driver.name}/set-aside", value=_value(e.reason), effect=e.effect
                ),
            )
            for name, e in self._aside.items()
        }
        for key, health in self._unhealthy.items():
            taints[key] = (self._taint(health), *taints.get(key, ()))
        return Marks(taints, self._held_here(), self._is_unobserved)

    def unfit(self) -> frozenset[Key]:
        """The devices that no new pod should have: sick ones, and those an operator set aside."""
        aside = (self._key(name) for name, e in self._aside.items() if e.effect != "None")
        return frozenset((*self._unhealthy, *aside))

    def warn(self, reason: str, message: str) -> None:
        """Have the operator see a warning on the node; of two instances one tells."""
        if self.leads():
            self.events.tell(self.events.node(), reason, message)

    def check(self, claim: Claim) -> None:
        """Refuse a claim on an unhealthy device, unless it tolerates the taint or only looks (admin access).

        Raises:
            DeviceUnhealthyError: names the device and what is wrong with it.
        """
        self._expect(claim)
        for allocation in claim.allocations:
            health = self._unhealthy.get((allocation.pool, allocation.device))
            if health is None or allocation.admin_access:
                continue
            if any(t.covers(self._taint(health)) for t in allocation.tolerations):
                continue
            why = ": ".join(text for text in (health.reason, health.message) if text) or "no reason"
            raise DeviceUnhealthyError(
                f"claim {claim.ref}: device {health.device!r} is unhealthy ({why}); delete the pod, so that another"
                " device is chosen, or tolerate its taint",
                device=health.device,
            )

    def _expect(self, claim: Claim) -> None:
        """A device of the cluster comes to the board with the first claim that has it on this node."""
        keys = {(a.pool, a.device) for a in claim.allocations if not is_local(a.pool, self._node)}
        if not keys <= self.board.states.keys():
            self.board.set_devices((*self.board.states, *sorted(keys)))

    def _taint(self, health: DeviceHealth) -> Taint:
        effect = health.effect if health.effect in _EFFECTS else "NoSchedule"
        key = f"{self._driver.name}/unhealthy"
        return Taint(key=key, value=_value(health.reason), effect=effect)

    def _is_unobserved(self, key: Key) -> bool:
        return self._driver.watches_health and not self.board.is_observed(key)

    def _key(self, name: str) -> Key:
        """Which device `taint` means by `device`, or `pool/device` for one of a further pool."""
        pool, _, device = name.rpartition("/")
        return local_name(pool, self._node), device

    def _claims(self) -> list[Prepared]:
        """The prepared claims that are objects in the API."""
        return [r for r in self._ledger().all_prepared() if not r.resource]

    def _held(self) -> frozenset[Key]:
        """What claims hold on this node, whoever published it."""
        ledger = self._ledger()
        records: list[Prepared | Intent] = [*ledger.all_prepared(), *ledger.all_intents()]
        return frozenset((u.pool, u.device) for r in records for u in r.uses)

    def _held_here(self) -> frozenset[Key]:
        return frozenset(key for key in self._held() if is_local(key[0], self._node))

    def _take_stock(self) -> None:
        """The board knows this node's devices, and those of the cluster while a claim of this node has them."""
        self._vanished = self._held() - frozenset(self._found)
        self.board.set_devices((*sorted(self._found), *sorted(self._vanished)))

    async def _watch(self) -> None:
        await self.board.follow(self._driver.watch_health())

    async def _follow_list(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            if self._read_list():
                _log.info(
                    "devices set aside", extra={"devices": ",".join(sorted(self._aside)) or "none"}
                )
                self.look_again()

    def _read_list(self) -> bool:
        """Read which devices are set aside; says whether that changed."""
        try:
            aside = set_aside.read(self._file)
        except HostError as err:
            if not self._told_unreadable:
                _log.warning("devices that are set aside are not known", extra={"why": str(err)})
            self._told_unreadable = True
            return False
        self._told_unreadable = False
        changed = aside != self._aside
        self._aside = aside
        return changed

    def _changed(self, keys: frozenset[Key]) -> None:
        worse, better = [], []
        for key in keys:
            health = self.board.health(key)
            was = self._unhealthy.pop(key, None)
            if health is not None and health.health is Health.UNHEALTHY:
                self._unhealthy[key] = health
                worse += [] if was else [health]
            elif was and health is not None:
                better.append(health)
        if self._driver.watches_health:
            self.look_again()
            self._status.look_at(keys)
        self._tell("DeviceUnhealthy", worse, "unhealthy")
        self._tell("DeviceRecovered", better, "healthy again")

    def _tell(self, reason: str, devices: list[DeviceHealth], how: str) -> None:
        if not devices or not self.leads():  # of two instances one tells
            return
        devices.sort(key=lambda health: health.device)
        bad = reason == "DeviceUnhealthy"
        shown = ", ".join(_told(health) for health in devices[:_SHOWN])
        more = f" and {len(devices) - _SHOWN} more" if len(devices) > _SHOWN else ""
        text = f"{self._driver.name}: {how}: {shown}{more}"
        self.events.tell(self.events.node(), reason, text, warning=bad)
        self._tell_claims(reason, {(h.pool, h.device): h for h in devices}, how)

    def _tell_claims(self, reason: str, devices: dict[Key, DeviceHealth], how: str) -> None:
        for claim in self._claims():
            mine = [devices[k] for u in claim.uses if (k := (u.pool, u.device)) in devices]
            if mine:
                about = About(
                    "ResourceClaim", claim.name, claim.uid, claim.namespace, "resource.k8s.io/v1"
                )
                text = f"{how}: {', '.join(map(_told, mine))}"
                self.events.tell(about, reason, text, warning=reason == "DeviceUnhealthy")


def _told(health: DeviceHealth) -> str:
    why = health.message or health.reason
    return f"{health.device} ({why[:80]})" if why else health.device


def _value(reason: str) -> str:
    """A taint's value must be a label value; what is none is left out rather than refused with its slice."""
    return reason if _LABEL_VALUE.fullmatch(reason) else ""
