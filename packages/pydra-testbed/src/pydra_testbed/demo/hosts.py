"""Machines with devices that nobody has to own: `pydra demo --host NAME` lets a driver find one of them on its node.

A package offers some by the entry point group `pydra.hosts`: its name is the driver's, its value a module with two
functions, those of `Hosts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from pydra_core.errors import ConfigError, HostError

GROUP = "pydra.hosts"


class Hosts(Protocol):
    """What a module of the group has."""

    def names(self) -> Sequence[str]:
        """The machines there are."""
        ...

    def build(self, name: str, folder: Path) -> Mapping[str, str]:
        """Build one in a folder that is not there yet; returns environment variables for the driver.

        Raises:
            RuntimeError: something is missing for it; the text says what to install.
        """
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """One machine that was asked for."""

    name: str
    made_by: Hosts

    async def build(self, folder: Path) -> Mapping[str, str]:
        """Build it; returns environment variables for the driver.

        Raises:
            HostError: it cannot be built here.
        """
        try:
            return await asyncio.to_thread(self.made_by.build, self.name, folder)
        except (RuntimeError, OSError) as err:
            raise HostError(f"demo: host {self.name}: {err}") from err


def hint(driver: str) -> str:
    """What to do where a driver's hardware is missing; empty if nobody offers hosts for it."""
    found = next((e for e in entry_points(group=GROUP) if e.name == driver), None)
    if found is None:
        return ""
    hosts: Hosts = found.load()
    return f"where its hardware is missing, let it find a machine that is none: --host {', '.join(hosts.names())}"


def host(driver: str, name: str) -> Host:
    """The machine of that name for a driver.

    Raises:
        ConfigError: there is none; names those there are.
    """
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if driver not in offered:
        known = ", ".join(sorted(offered)) or "none"
        raise ConfigError(
            f"demo: no package has hosts for driver {driver!r}; drivers with some: {known}",
            key="host",
            source="flag",
        )
    hosts: Hosts = offered[driver].load()
    if name not in hosts.names():
        raise ConfigError(
            f"demo: there is no host {name!r} for driver {driver!r}; there are: {', '.join(hosts.names())}",
            key="host",
            source="flag",
        )
    return Host(name, hosts)
