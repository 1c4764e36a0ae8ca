"""What is examined: one driver with its settings on one node. All checks get this value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydra_core.driver import Driver
from pydra_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Subject:
    """The driver, its settings, and the node.

    `host` is where the node's root file system is seen from here: runtimes and their configuration, and
    kubelet roots the settings do not name, are looked for below it. `now` is the wall clock, in seconds. With
    `cluster` it is the process that publishes the pools of no node, which needs no node either.
    """

    driver: type[Driver]
    settings: Settings
    host: Path
    environ: Mapping[str, str]
    now: Callable[[], float]
    cluster: bool = False

    def on_host(self, path: str) -> Path:
        """A path of the node as this process sees it."""
        return self.host / path.lstrip("/")
