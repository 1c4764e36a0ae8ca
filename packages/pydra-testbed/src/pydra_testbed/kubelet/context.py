"""What all pod workers of one kubelet share."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.deviceplugins import DeviceManager
from pydra_testbed.kubelet.dra import DraManager
from pydra_testbed.kubelet.health import HealthCache
from pydra_testbed.kubelet.settings import KubeletSettings
from pydra_testbed.objects import Api
from pydra_testbed.recorder import EventRecorder
from pydra_testbed.runtime import Runtime


@dataclass(frozen=True, slots=True)
class NodeContext:
    """The node's parts a pod needs; `address` is the node's IP, `labels` the node's."""

    api: Api
    clock: Clock
    settings: KubeletSettings
    rng: random.Random
    dra: DraManager
    devices: DeviceManager
    runtime: Runtime
    events: EventRecorder
    health: HealthCache
    address: str
    labels: Mapping[str, str]

    def jittered(self, seconds: float, jitter: float) -> float:
        """A time between `seconds` and `seconds` x (1 + jitter)."""
        return seconds * (1 + jitter * self.rng.random())
