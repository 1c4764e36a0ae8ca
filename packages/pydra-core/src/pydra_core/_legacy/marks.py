"""What pods have of extended resources, shown to the scheduler: taints on the devices, so that no claim gets them.

Where both APIs are served nobody coordinates the two schedulers. So what one side holds the other shows as not to be
had: here for claims, in `listing` for pods. A race in between is refused by the ledger. The ledger knows devices by
name; here is also known which devices draw on the same counters, and so are partly the same silicon.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from pydra_core._api.wanted import Key
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import DeviceUse, Intent, Prepared
from pydra_core._values import Pool, Taint
from pydra_core.errors import DeviceBusyError

_Budget: TypeAlias = tuple[str, str]
"""A pool, and a counter set of it."""


class Silicon:
    """Which devices of this node are partly the same: those that draw on the same counters (KEP-4815)."""

    def __init__(self) -> None:
        self._budgets: Mapping[Key, frozenset[_Budget]] = {}
        self._drawers: Mapping[_Budget, frozenset[Key]] = {}

    def found(self, pools: Sequence[Pool]) -> None:
        """Take note of what there is, by the names the API knows the pools by."""
        budgets = {
            (pool.name, device.name): frozenset(
                (pool.name, consumption.counter_set) for consumption in device.consumes
            )
            for pool in pools
            for device in pool.devices
            if device.consumes
        }
        drawers: defaultdict[_Budget, set[Key]] = defaultdict(set)
        for key, found in budgets.items():
            for budget in found:
                drawers[budget].add(key)
        self._drawers = {budget: frozenset(keys) for budget, keys in drawers.items()}
        self._budgets = budgets  # in one step: the journal's thread reads it

    @property
    def drawing(self) -> tuple[str, ...]:
        """The devices that draw on any counters, in order."""
        return tuple(sorted(device for _, device in self._budgets))

    def touched(self, key: Key) -> frozenset[Key]:
        """The device, and those it shares counters with."""
        drawers = self._drawers
        return frozenset((key,)).union(
            *(drawers.get(budget, ()) for budget in self._budgets.get(key, ()))
        )

    def check_free(self, ledger: Ledger, uses: Iterable[DeviceUse], resource: str) -> None:
        """Refuse devices whose silicon the other side holds: claims for a pod (`resource`), pods for a claim.

        The same devices in two hands are the ledger's business; within one side the scheduler, and what the driver
        offers as resources, keep to the counters.

        Raises:
            DeviceBusyError: names the device, and who has what of it.
        """
        for use in uses:
            key = (use.pool, use.device)
            for other in () if use.admin else self.touched(key) - {key}:
                for record in ledger.holders(*other):
                    if bool(record.resource) != bool(resource):
                        raise _busy(use, other, record)


def legacy_taints(driver: str, ledger: Ledger, silicon: Silicon) -> Mapping[Key, tuple[Taint, ...]]:
    """The taints for what pods have: key `<driver>/device-plugin`, value the resource's name without its domain.

    Where pods have shares of a device as several resources, the first of them by name.
    """
    held = {(r.resource, (u.pool, u.device)) for r in ledger.legacy() for u in r.uses}
    return {
        other: (Taint(key=f"{driver}/device-plugin", value=resource.rpartition("/")[2]),)
        for resource, key in sorted(held, reverse=True)
        for other in silicon.touched(key)
    }


def _busy(use: DeviceUse, other: Key, record: Prepared | Intent) -> DeviceBusyError:
    if record.resource:
        who = f"a pod, as {record.name} of the extended resource {record.resource}"
    else:
        who = f"claim {record.namespace}/{record.name} (UID {record.uid})"
    return DeviceBusyError(
        f"device {use.device!r} of pool {use.pool!r}: draws on the same counters as {other[1]!r}, which is in the hands"
        f" of {who}; it is free once that pod is gone",
        device=use.device,
        holder=record.uid,
    )
