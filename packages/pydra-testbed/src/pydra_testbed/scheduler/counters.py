"""Shared counters of a pool while devices are tried: partitions of one piece of hardware (KEP-4815)."""

from __future__ import annotations

from pydra_core.quantity import Quantity
from pydra_testbed.scheduler.model import ZERO, Device, InUse
from pydra_testbed.scheduler.pools import Pool

_Counter = tuple[str, str]


class CounterLedger:
    """What is left of a pool's counters: total, less devices in use, less devices of this search."""

    def __init__(self, pool: Pool, in_use: InUse) -> None:
        self._left: dict[_Counter, Quantity] = {
            (set_name, name): total
            for set_name, counters in pool.counters.items()
            for name, total in counters.items()
        }
        for device in (*pool.devices, *pool.elsewhere):
            if in_use.holds(device.id):
                self.take(device)

    def has_room_for(self, device: Device) -> bool:
        """Whether the device's counters are all available, and none of the pool is overdrawn already."""
        needed = {
            (set_name, name): amount
            for set_name, used in device.consumes
            for name, amount in used.items()
        }
        return all(left >= needed.get(counter, ZERO) for counter, left in self._left.items())

    def take(self, device: Device) -> None:
        for set_name, used in device.consumes:
            for name, amount in used.items():
                self._left[set_name, name] -= amount

    def give_back(self, device: Device) -> None:
        for set_name, used in device.consumes:
            for name, amount in used.items():
                self._left[set_name, name] += amount
