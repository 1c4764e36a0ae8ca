"""A registered driver instance, and what a kubelet says to it about claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pydra_testbed.clock import RealClock
from pydra_testbed.conformance.kubelet import Registration
from pydra_testbed.conformance.limits import Limits
from pydra_testbed.conformance.process import Process
from pydra_testbed.kubelet import ClaimRef, KubeletFaults
from pydra_testbed.kubelet.calls import ignore_call
from pydra_testbed.kubelet.instance import DriverInstance
from pydra_testbed.kubelet.link import DriverLink
from pydra_testbed.kubelet.services import SERVICES, ClaimAnswer

Answers: TypeAlias = Mapping[str, ClaimAnswer]
V1, V1BETA1 = "v1.DRAPlugin", "v1beta1.DRAPlugin"


@dataclass(frozen=True, slots=True)
class Running:
    """One process of the driver, registered."""

    process: Process
    registration: Registration
    limits: Limits = field(repr=False)

    @property
    def name(self) -> str:
        """The driver's name."""
        return self.registration.name

    @property
    def versions(self) -> tuple[str, ...]:
        """The services it lists, in its order."""
        return self.registration.versions

    async def prepare(self, *refs: ClaimRef, seconds: float = 0.0, version: str = "") -> Answers:
        """NodePrepareResources, in the newest version that it lists. Raises `RpcError`."""
        link, instance = self._open(seconds, version)
        try:
            return await instance.prepare(refs)
        finally:
            await link.close()

    async def unprepare(self, *refs: ClaimRef, seconds: float = 0.0, version: str = "") -> Answers:
        """NodeUnprepareResources. Raises `RpcError`."""
        link, instance = self._open(seconds, version)
        try:
            return await instance.unprepare(refs)
        finally:
            await link.close()

    def _open(self, seconds: float, version: str) -> tuple[DriverLink, DriverInstance]:
        """A connection of its own: what one call does to it is not the next one's trouble."""
        link = DriverLink(self.registration.endpoint, RealClock(), ignore_call, KubeletFaults())
        chosen = version or (V1 if V1 in self.versions else self.versions[0])
        return link, DriverInstance(self.name, link, SERVICES[chosen], seconds or self.limits.call)
