"""Who says what containers need of the driver: we, or the container toolkit where the operator named it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from pydra_cdi import ContainerEdits, DeviceNode
from pydra_core import HostError
from pydra_nvidia.cdi.edits import device_edits, driver_edits
from pydra_nvidia.cdi.files import find
from pydra_nvidia.cdi.nodes import Nodes
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.cdi.toolkit import ToolkitEdits, ask_toolkit

_log = logging.getLogger(__name__)


class DriverEdits:
    """The driver's part of every container's edits, found anew at each discovery.

    Args:
        host: what stands for `/`.
        hook: path of `nvidia-cdi-hook` on the host, or empty.
        toolkit: path of `nvidia-ctk`, or empty.
    """

    def __init__(self, host: Path, hook: str, toolkit: str) -> None:
        self._host = Root(host)
        self._hook = hook
        self._toolkit = toolkit
        self._own: ContainerEdits | None = None
        self._told: ToolkitEdits | None = None
        self._told_of = ""
        self._said = ""

    @property
    def found(self) -> bool:
        """Whether `of` can be called."""
        return self._own is not None or self._told is not None

    async def find(self, root: Root, version: str) -> None:
        """Look for the driver of that version.

        A toolkit that fails is said once; what it said of this version holds on, and if it never did, we look.

        Raises:
            HostError: the driver is not there.
        """
        if self._toolkit:
            try:
                self._told = await ask_toolkit(self._toolkit, root, self._host, self._hook)
                self._told_of, self._said = version, ""
            except HostError as err:
                self._told = self._told if self._told_of == version else None
                if self._said != str(err):
                    self._said = str(err)
                    _log.warning("container toolkit is done without", extra={"why": str(err)})
        if self._told is None:
            self._own = await asyncio.to_thread(self._looked, root, version)

    def of(self, uuid: str, nodes: Nodes, own: Sequence[DeviceNode]) -> ContainerEdits:
        """What a container with this device gets.

        Args:
            uuid: the device's.
            nodes: to look at those that the toolkit names.
            own: the nodes every container and this device needs, looked at already.
        """
        if self._told is None:
            return device_edits(self._own or ContainerEdits(), own)
        told = self._told
        named = {node.path for node in own}
        extra = nodes.others((*told.nodes, *told.device_nodes.get(uuid, ())))
        edits = device_edits(told.common, [*own, *(n for n in extra if n.path not in named)])
        return edits + told.devices.get(uuid, ContainerEdits())

    def _looked(self, root: Root, version: str) -> ContainerEdits:
        return driver_edits(find(root, version, self._host), self._host, self._hook)
