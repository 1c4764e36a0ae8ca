"""Keeps the API's slices equal to the inventory: at start, after each discovery, and when somebody wipes them.

A kubelet that starts deletes all slices of its node. The Go helper notices after 30 to 60 seconds; this one
watches its own slices and puts them back at once, but only while the kubelet knows the driver: slices without
a driver behind them would send pods to a node that cannot prepare them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from pydra_core._api.client import MANAGER, KubeClient
from pydra_core._api.counters import layout_of
from pydra_core._api.plan import Body, Owner, Write, plan
from pydra_core._api.refusals import Refusals
from pydra_core._api.rivals import Rivals, managers
from pydra_core._api.rules import faults_by_pool, inventory_error
from pydra_core._api.slice_writes import SLICES, SliceWriter
from pydra_core._api.slices import checked_list, checked_node_uid, checked_slice
from pydra_core._api.wanted import Wanted
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import Pool
from pydra_core.errors import ApiError

_log = logging.getLogger(__name__)
_NOT_FOUND, _CONFLICT, _GONE = 404, 409, 410
_FASTEST, _SLOWEST = 0.2, 30.0
_LOOK = 1.0
_GATHER = 0.03
"""Seconds in which changes are gathered before they are written together."""
_MOST_OBEDIENT = 300.0
"""Seconds of a Retry-After that are honoured; a driver must not be silenced for a day by one bad header."""


class Registered(Protocol):
    """What the publisher must know of the registration."""

    async def wait(self) -> None:
        """Return once the kubelet knows the driver."""


class Publisher:
    """Publishes one driver's pools of a node, or of the cluster. `want` may be called at any time; `run` works."""

    def __init__(
        self,
        client: KubeClient,
        driver: str,
        node: str,
        registered: Registered,
        metrics: Metrics,
        *,
        may_taint: bool = False,
    ) -> None:
        """Begin with nothing to publish.

        Args:
            client: of the API server.
            driver: the driver's name.
            node: whose pools; empty for pools that belong to no node.
            registered: when publishing makes sense.
            metrics: of this process.
            may_taint: taints will come and go.
        """
        self._client = client
        self._driver = driver
        self._node = node
        self._registered = registered
        self._metrics = metrics
        self._writer = SliceWriter(client, metrics)
        self.wanted = Wanted(driver, node, may_taint=may_taint)
        self._settled: object = None  # the wish that was fulfilled last
        self._rivals = Rivals()
        self._existing: dict[str, Body] = {}
        self._deleted: dict[str, int] = {}  # name to the version at which the watch saw it go
        self._newest: dict[str, int] = {}
        self._laid_out = (
            False  # as the server's version wants it, which may change with each session
        )
        self._wake = asyncio.Event()
        self._refusals = Refusals(self._wake.set)
        self.problem = "nothing was published yet"
        self.leads: Callable[[], bool] = lambda: True
        self.on_wiped: Callable[[], None] = lambda: None
        self.before: Callable[[Sequence[Body]], Awaitable[None]] = _nothing
        self.on_trouble: Callable[[str, str], None] = lambda _reason, _message: None

    def want(self, pools: Sequence[Pool]) -> None:
        """Set what shall be published, by the names the API knows the pools by (`local_pools`).

        Raises:
            InventoryError: pools break limits of the API; what was published of them before stays, others are
                published.
        """
        faults = faults_by_pool(pools, self._node)
        changed = self.wanted.set([p for p in pools if p.name not in faults], faults.keys())
        self._metrics.devices.set(len(self.wanted.devices))
        if changed:
            self._wake.set()
        if faults:
            raise inventory_error(faults)

    def look_again(self) -> None:
        """Compare anew: what is known of the devices (`wanted.marks`) has changed. Cheap, never blocks."""
        self._wake.set()

    async def follow_lead(self) -> None:
        """Look again when a younger instance comes or goes: of two, only the younger writes. Until cancelled."""
        led = True
        while True:
            await asyncio.sleep(_LOOK)
            if led != (led := self.leads()):
                _log.info("publishing" if led else "another instance publishes")
                self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled. API errors are logged, counted and retried; slices stay at the end."""
        delay = _FASTEST
        while True:
            await self._registered.wait()
            began, wait = time.monotonic(), delay
            try:
                await self._session()
            except ApiError as err:
                wait = max(delay, min(err.retry_after or 0.0, _MOST_OBEDIENT))
                self._report(err, wait)
            held = (
                time.monotonic() - began > _SLOWEST
            )  # it went well for long: no reason to hold back
            delay = _FASTEST if held else min(delay * 2, _SLOWEST)
            await asyncio.sleep(wait * random.uniform(1.0, 1.3))  # noqa: S311 (spreads load, no secret)

    def _report(self, err: ApiError, wait: float) -> None:
        self.problem = str(err)
        self._metrics.background_error(err.reason)
        level = logging.DEBUG if err.status in (_CONFLICT, _GONE) else logging.WARNING
        _log.log(
            level,
            "slices cannot be kept in step",
            extra={"why": str(err), "status": err.status, "again_in": wait},
        )

    async def _session(self) -> None:
        """List once, then follow the watch and write differences, until the watch ends or a write fails."""
        query = {"fieldSelector": f"spec.driver={self._driver},spec.nodeName={self._node}"}
        content = await self._client.get(SLICES, query)
        self._existing, version = checked_list(content, self._driver, self._node)
        self._deleted.clear()
        self._laid_out = False
        self._wake.set()
        follow = asyncio.ensure_future(self._follow({**query, "resourceVersion": version}))
        write = asyncio.ensure_future(self._write_differences())
        try:
            await asyncio.wait((follow, write), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (follow, write):
                task.cancel()
            results = await asyncio.gather(follow, write, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _follow(self, query: Mapping[str, str]) -> None:
        async for kind, body in self._client.watch(
            SLICES, {**query, "allowWatchBookmarks": "true"}
        ):
            if kind == "BOOKMARK":
                continue
            name = checked_slice(f"WATCH {SLICES}", body)["metadata"]["name"]
            if kind == "DELETED":
                gone = self._existing.pop(name, None)
                if gone:
                    self.on_wiped()
                self._deleted[name] = int(body["metadata"]["resourceVersion"])
                _log.log(
                    logging.INFO if gone else logging.DEBUG,
                    "slice was deleted",
                    extra={"slice": name},
                )
                self._wake.set()
            elif kind in ("ADDED", "MODIFIED") and _newer(body, self._existing.get(name)):
                self._existing[name] = body
                self._wake.set()

    async def _write_differences(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER)
            self._wake.clear()
            await self._registered.wait()
            if not self.leads():
                self.problem = ""
            elif pause := self._rivals.pause(time.monotonic()):
                await asyncio.sleep(pause)
                self._wake.set()
            else:
                await self._write_once()

    async def _write_once(self) -> None:
        """Compare and write; whoever else changes the pool again and again is named and left alone for a while."""
        owner = await self._owner()
        if self.wanted.counts and not self._laid_out:
            self.wanted.cut = await layout_of(self._client)
            self._laid_out = True
        await self.before(tuple(self._existing.values()))
        existing = list(self._existing.values())
        desired = self.wanted.contents(existing)
        if desired is None:
            return
        self._metrics.tainted.set(self.wanted.tainted)
        writes = plan(existing, desired, self._driver, owner, self._newest)
        foreign = [w.body for w in writes if w.verb != "create"]
        if (
            foreign
            and (owner, desired) == self._settled
            and self._rivals.corrected(time.monotonic())
        ):
            self._give_way(foreign)
            return
        self._refusals.begin()
        for write in writes:
            if not self.leads():
                self._wake.set()  # whoever leads now writes the rest
                return
            try:
                if not self._refusals.stop(write):
                    await self._write(write)
            except ApiError as err:
                self._refusals.add(write, err, self._existing.values())
        if refused := self._refusals.end():
            self._report(refused, self._refusals.pause)
            return
        if writes:
            count = sum(len(contents or ()) for contents in desired.values())
            _log.info("published", extra={"slices": count, "writes": len(writes)})
        self._settled = (owner, desired)
        self.problem = ""

    def _give_way(self, foreign: list[Body]) -> None:
        others = ", ".join(managers(foreign, MANAGER)) or "unknown"
        self.problem = (
            f"pools of {self._node or 'the cluster'}: another publisher changes the slices of driver {self._driver} again and again"
            f" (field managers: {others}); stop that driver, or give one of them another name"
        )
        self._metrics.background_error("AnotherPublisher")
        _log.error("another publisher of the same pool", extra={"why": self.problem})
        self.on_trouble("AnotherPublisher", self.problem)
        self._wake.set()

    async def _owner(self) -> Owner | None:
        """Read the node's UID anew each time slices are about to be compared: nodes are re-created."""
        if not self._node:
            return None
        try:
            content = await self._client.get(f"/api/v1/nodes/{self._node}")
        except ApiError as err:
            if err.status != _NOT_FOUND:
                raise
            raise ApiError(
                f"node {self._node}: does not exist; set NODE_NAME from the downward API (spec.nodeName)",
                status=_NOT_FOUND,
            ) from err
        return Owner(self._node, checked_node_uid(content))

    async def _write(self, write: Write) -> None:
        body, name = write.body, write.body["metadata"]["name"]
        stored = await self._writer.make(write)
        if stored is None:
            self._existing.pop(name, None)
            return
        pool = body["spec"]["pool"]
        self._newest[pool["name"]] = max(self._newest.get(pool["name"], 0), pool["generation"])
        if int(stored["metadata"]["resourceVersion"]) > self._deleted.get(name, 0):
            self._existing[name] = stored  # else the watch has already told of its end
        if error := self.wanted.adopt(body, stored):
            self._metrics.background_error(error.reason)
            _log.error("published less than wanted", extra={"why": str(error)})
            self.on_trouble(error.reason, str(error))
            self._wake.set()


async def _nothing(_: Sequence[Body]) -> None:
    """There is nothing to find out before slices are compared."""


def _newer(body: Body, known: Body | None) -> bool:
    """Whether an event tells something our own write did not already."""
    return known is None or int(body["metadata"]["resourceVersion"]) > int(
        known["metadata"]["resourceVersion"]
    )
