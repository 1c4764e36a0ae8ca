"""The device plugins of one node, all parts together: what the kubelet makes, starts and closes."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path
from typing import Any

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.calls import CallObserver
from pydra_testbed.kubelet.deviceplugins.checkpoint import load
from pydra_testbed.kubelet.deviceplugins.endpoint import PluginClient
from pydra_testbed.kubelet.deviceplugins.inventory import GRACE, Amounts, DeviceInventory
from pydra_testbed.kubelet.deviceplugins.manager import DeviceManager
from pydra_testbed.kubelet.deviceplugins.model import Holdings, PluginDevice
from pydra_testbed.kubelet.deviceplugins.server import PluginServer
from pydra_testbed.kubelet.deviceplugins.topology import Topology
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.unixserver import serve
from pydra_testbed.kubelet.wakeup import Gathered, Wakeup
from pydra_testbed.runtime.waiting import cancel_all

_log = logging.getLogger(__name__)
_SERVICE = "v1beta1.Registration"
_NOTE = "Device plugins may register through ../plugins_registry instead of kubelet.sock.\n"


class DevicePlugins:
    """Below `folder` (`device-plugins` in the kubelet's root).

    `news` rings when the node has more or less of a resource; `changed` gathers the pods whose devices are of another
    health than before.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        observer: CallObserver,
        faults: KubeletFaults,
        rng: random.Random,
        topology: Topology | None = None,
    ) -> None:
        left = load(folder / "kubelet_internal_checkpoint")
        self.news = Wakeup()
        self.changed = Gathered()
        self._folder = folder
        self._clock = clock
        self._inventory = DeviceInventory(clock, left.resources, self._changed)
        self._holdings = Holdings(left.holdings)
        file = folder / "kubelet_internal_checkpoint"
        self.manager = DeviceManager(
            self._inventory, self._holdings, file, rng, faults, topology or Topology()
        )
        self.handler = PluginServer(
            folder,
            lambda resource, endpoint: PluginClient(resource, endpoint, clock, observer, faults),
            self._inventory.connected,
            self._listed,
            self._inventory.disconnected,
        )
        self._server: Any = None
        self._timers: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Remove every socket an earlier kubelet or plugin left, and take registrations from now on."""
        for entry in self._folder.iterdir():
            if entry.is_socket():
                entry.unlink(missing_ok=True)
        (self._folder / "DEPRECATION").write_text(_NOTE, encoding="utf-8")
        register = {"Register": (self.handler.called, messages.RegisterRequest.FromString)}
        self._server = await serve(_SERVICE, register, self._folder / "kubelet.sock")
        _log.info("device plugins can register", extra={"folder": str(self._folder)})
        if self._inventory.names():
            self._ring_after_grace()

    async def close(self) -> None:
        """Take no registrations any more and close every connection; the socket files stay, as on a node."""
        if self._server is not None:
            await self._server.stop(None)
        await self.handler.close()
        await cancel_all(*self._timers)

    def amounts(self) -> dict[str, Amounts]:
        """What the node's status says of each resource; those whose plugins are gone for too long end here."""
        if self._inventory.expire():
            self.manager.save()
        return dict(self._inventory.amounts())

    def _listed(self, resource: str, devices: tuple[PluginDevice, ...]) -> None:
        different = self._inventory.listed(resource, devices)
        self.manager.save()
        self.changed.put(self._holdings.pods_with(resource, different))

    def _changed(self, resource: str) -> None:
        self.news.ring()
        if self._inventory.client(resource) is None:
            self._ring_after_grace()

    def _ring_after_grace(self) -> None:
        timer = asyncio.create_task(self._ring())
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _ring(self) -> None:
        await self._clock.sleep(GRACE)
        self.news.ring()
