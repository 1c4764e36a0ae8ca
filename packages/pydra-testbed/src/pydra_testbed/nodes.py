"""A testbed's nodes: their folders, and their kubelets, which can be stopped and started like a node's service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydra_testbed.kubelet import Kubelet, KubeletFaults

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Starts a part of a testbed, whose error ends the testbed and which ends with it."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node's folders, as its kubelet, its runtime and its drivers see them."""

    name: str
    kubelet_root: Path
    cdi_dir: Path

    @classmethod
    def make(cls, root: Path, name: str) -> Node:
        """A node whose folders lie, empty, below `root`."""
        node = cls(name, root / name / "kubelet", root / name / "cdi")
        for folder in (node.kubelet_root, node.cdi_dir):
            folder.mkdir(parents=True)
        return node


class KubeletService:
    """One node's kubelet as the node's service manager sees it. What it knew lies below the node's root.

    `faults` makes it misbehave, over restarts.
    """

    def __init__(
        self, node: Node, make: Callable[[], Kubelet], spawn: Spawn, faults: KubeletFaults
    ) -> None:
        self.node = node
        self.faults = faults
        self._make = make
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Start it; nothing happens if it runs. An error that ends it ends the testbed."""
        if not self.is_running:
            self._task = self._spawn(self._make().run())

    async def stop(self) -> None:
        """Stop it and wait until it is gone; its containers run on, and drivers are not told, as on a node."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def restart(self) -> None:
        """A new kubelet on the same root: drivers register again, pods are synced anew."""
        await self.stop()
        self.start()
