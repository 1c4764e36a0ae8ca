"""Looks at the GPUs every few seconds, listens to what they report, and says how each published device is.

Both come from NVML in workers of their own. What a GPU reports is judged at once; that nothing can be heard is no
reason to stop looking.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pydra_core import DeviceHealth, Health, PydraError
from pydra_core.errors import VendorQuarantinedError
from pydra_core.metrics import Sample
from pydra_core.sdk import Sdk
from pydra_nvidia import reading
from pydra_nvidia.blame import Blame
from pydra_nvidia.condition import Condition, EventKind, GpuEvent
from pydra_nvidia.counters import samples
from pydra_nvidia.gpus import Gpu
from pydra_nvidia.judging import Record, Verdict, heard, look, verdict
from pydra_nvidia.parts import Part
from pydra_nvidia.using import Using
from pydra_nvidia.xids import XidClass, Xids

if TYPE_CHECKING:
    from pydra_core.driver import Driver
    from pydra_nvidia import nvml
else:
    nvml = Sdk("pydra_nvidia.nvml")

_log = logging.getLogger(__name__)
_EVERY = 10.0
_PATIENCE = 20.0
_AGAIN = 10.0

_Key: TypeAlias = tuple[str, int | None]
"""UUID of a GPU (or its index, where that is all there is), and a GPU instance of it or None."""


class Watching:
    """The health of one node's GPUs.

    Args:
        driver: whose SDK is called.
        blame: by whom GPUs are asked.
        xids: what XIDs mean here.
        parts: the published devices, as of now.
        using: how devices are shared, which is looked at as well.
    """

    def __init__(
        self,
        driver: Driver,
        blame: Blame,
        xids: Xids,
        parts: Callable[[], Mapping[str, Part]],
        using: Using,
    ) -> None:
        self._driver = driver
        self._blame = blame
        self._xids = xids
        self._parts = parts
        self._using = using
        self._records: dict[_Key, Record] = {}
        self._links: dict[str, tuple[int, ...] | None] = {}
        self._reports: asyncio.Queue[GpuEvent | None] = asyncio.Queue()
        self._xids_of: dict[str, Counter[XidClass]] = {}

    async def run(self, root: str) -> AsyncIterator[DeviceHealth]:
        """How devices are: all of them after each look, those of one GPU when it reported something.

        What was reported is remembered from one run to the next: a look that fails makes no GPU well.

        Args:
            root: the driver root, as the worker sees it.
        """
        without = self._blame.guilty
        listening = asyncio.ensure_future(self._listen(root))
        wake = lambda: self._reports.put_nowait(None)  # noqa: E731 (no event: look at everything)
        sharing = asyncio.ensure_future(self._using.listen(wake))
        try:
            while True:
                told = await self._blame.ask(nvml.health, root, _PATIENCE)
                if without != self._blame.guilty:  # others are to be watched from now on
                    await _ended(listening)
                    without = self._blame.guilty
                    listening = asyncio.ensure_future(self._listen(root))
                self._looked(reading.conditions(told, self._driver.host))
                await self._using.look(Path(root))
                for health in self._healths(self._parts()):
                    yield health
                until = time.monotonic() + _EVERY
                while (event := await self._report(until)) is not None:
                    if name := self._heard(event):
                        mine = {n: p for n, p in self._parts().items() if _name(p) == name}
                        for health in self._healths(mine):
                            yield health
        finally:
            await _ended(sharing)
            await _ended(listening)

    def samples(self, gpus: Iterable[Gpu]) -> Iterator[Sample]:
        """What is counted of these GPUs, from the latest look."""
        for gpu in gpus:
            name = gpu.uuid or f"#{gpu.index}"
            record = self._records.get((name, None), Record())
            if gpu.minor is not None and record.condition:
                yield from samples(gpu.minor, record.condition, self._xids_of.get(name, {}))

    async def _listen(self, root: str) -> None:
        """Put reports into the queue for ever; where none can be had, say so and try again."""
        while True:
            try:
                without = self._blame.guilty
                async for sent in self._driver.sdk.events(nvml.reports, root, _AGAIN, without):
                    self._reports.put_nowait(reading.event(sent, self._driver.host))
            except PydraError as err:
                _log.warning(
                    "GPUs are not listened to", extra={"reason": err.reason, "why": str(err)}
                )
                if isinstance(err, VendorQuarantinedError):
                    await self._find(root)
            await asyncio.sleep(_AGAIN)

    async def _find(self, root: str) -> None:
        with suppress(PydraError):  # the next look says it
            await self._blame.find(root)

    async def _report(self, until: float) -> GpuEvent | None:
        """The next report before that time; None also when it is time to look."""
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                return await self._reports.get()
        except TimeoutError:
            return None

    def _looked(self, conditions: Iterable[Condition]) -> None:
        links: dict[str, tuple[int, ...] | None] = {}
        for condition in conditions:
            name = condition.uuid or f"#{condition.index}"
            links[name] = condition.active_links
            keys = {(name, None), *(key for key in self._records if key[0] == name)}
            for key in keys:
                self._records[key] = look(self._records.get(key, Record()), condition)
        if self._links and links != self._links:
            self._driver.rediscover()  # `linkHealthy` and the groups follow the links
        self._links = links

    def _heard(self, event: GpuEvent) -> str | None:
        """Take in a report; the name of the GPU it changed anything for."""
        name = event.uuid or f"#{event.index}"
        extra = {"gpu": name, "kind": str(event.kind), "data": event.data, "why": event.message}
        level = logging.DEBUG if event.kind is EventKind.WATCHED else logging.WARNING
        _log.log(level, "GPU reported", extra=extra)
        if event.kind is EventKind.XID:
            self._xids_of.setdefault(name, Counter())[self._xids.kind(event.data)] += 1
        key = (name, event.gpu_instance)
        before = self._records.get(key, self._records.get((name, None), Record()))
        after = heard(before, event, self._xids)
        if after == before:
            return None
        self._records[key] = after
        return name

    def _healths(self, parts: Mapping[str, Part]) -> Iterator[DeviceHealth]:
        for device, part in parts.items():
            held = self._verdict(part)
            health = Health.HEALTHY if held.healthy else Health.UNHEALTHY
            yield DeviceHealth(
                device=device,
                health=health,
                reason=held.reason,
                message=f"GPU {part.gpu.uuid}: {held.message}" if held.message else "",
            )

    def _verdict(self, part: Part) -> Verdict:
        """Of the GPU, and of the GPU instance if the device is in one."""
        name = _name(part)
        keys: list[_Key] = [(name, None)]
        if part.mig:
            keys.append((name, part.mig.gpu_instance))
        if (name, None) not in self._records:
            keys.append((f"#{part.gpu.index}", None))
        found = [verdict(self._records[key]) for key in keys if key in self._records]
        return next((v for v in found if not v.healthy), self._using.verdict(part))


async def _ended(task: asyncio.Future[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _name(part: Part) -> str:
    return part.gpu.uuid or f"#{part.gpu.index}"
