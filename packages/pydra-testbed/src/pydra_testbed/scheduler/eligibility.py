"""Whether a device could serve a request at all: selectors, node, capacity; remembered within one search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydra_core.quantity import Quantity
from pydra_testbed.scheduler import capacity
from pydra_testbed.scheduler.model import ZERO, AllocationError, Device, DeviceId
from pydra_testbed.scheduler.nodes import placement_matches
from pydra_testbed.scheduler.task import AllocationInput
from pydra_testbed.scheduler.trace import Reason, Refusal, TraceSink
from pydra_testbed.scheduler.verdicts import SelectorError

if TYPE_CHECKING:
    from pydra_testbed.scheduler.plan import Plan

_NOTHING: Mapping[str, Quantity] = {}


class Eligibility:
    """Judges devices for one node; also keeps what shares of this search consume so far."""

    def __init__(self, task: AllocationInput, trace: TraceSink | None) -> None:
        self._task = task
        self._trace = trace
        self._selected: dict[tuple[int, str, DeviceId], bool] = {}
        self.pending: dict[DeviceId, dict[str, Quantity]] = {}

    def admits(self, plan: Plan, device: Device) -> bool:
        """Selectors of class and request, node and remaining capacity.

        Raises:
            AllocationError: a selector failed; Kubernetes gives up on the pod.
        """
        return self._is_selected(plan, device) and self.has_capacity(plan, device)

    def has_capacity(self, plan: Plan, device: Device) -> bool:
        """Whether the request fits beside all shares; for an exclusive device it is a minimum."""
        wanted = plan.request.capacity
        consumed = self._task.in_use.consumed.get(device.id, _NOTHING)
        if not wanted and not consumed and not (device.capacity and device.is_shareable):
            return True  # Nothing is asked, and nobody shares.
        if capacity.fits(device, wanted, consumed, self.pending.get(device.id, _NOTHING)):
            return True
        self.refuse(plan, device, Reason.CAPACITY)
        return False

    def reserve(self, device: DeviceId, amounts: Mapping[str, Quantity]) -> None:
        """Count a share of this search."""
        shares = self.pending.setdefault(device, {})
        for name, amount in amounts.items():
            shares[name] = shares.get(name, ZERO) + amount

    def unreserve(self, device: DeviceId, amounts: Mapping[str, Quantity]) -> None:
        """Forget a share of this search."""
        shares = self.pending[device]
        for name, amount in amounts.items():
            shares[name] -= amount

    def refuse(self, plan: Plan, device: Device, reason: Reason, detail: str = "") -> None:
        """Tell the sink, if there is one."""
        if self._trace is None:
            return
        pool = f"{device.id.driver}/{device.id.pool}"
        self._trace.refused(
            Refusal(
                self._task.node.name,
                plan.claim.key,
                plan.request.full_name,
                pool,
                device.id,
                reason,
                detail,
            )
        )

    def _is_selected(self, plan: Plan, device: Device) -> bool:
        key = (id(plan.claim), plan.request.full_name, device.id)
        known = self._selected.get(key)
        if known is None:
            known = self._selected[key] = self._select(plan, device)
        return known

    def _select(self, plan: Plan, device: Device) -> bool:
        owners = (
            (f"class {plan.device_class.name}", plan.device_class.selectors),
            (f"claim {plan.claim.key}", plan.request.selectors),
        )
        for owner, selectors in owners:
            for index, expression in enumerate(selectors):
                if not self._ask(plan, device, f"{owner}: selector #{index}", expression):
                    return False
        if device.selects_nodes and not placement_matches(device.placement, self._task.node):
            self.refuse(plan, device, Reason.OTHER_NODE)
            return False
        return True

    def _ask(self, plan: Plan, device: Device, where: str, expression: str) -> bool:
        try:
            selected = self._task.verdicts.matches(expression, device)
        except SelectorError as problem:
            self.refuse(plan, device, Reason.SELECTOR_ERROR, f"{where}: {problem}")
            raise AllocationError(f"{where}: {problem}") from problem
        if not selected:
            self.refuse(plan, device, Reason.SELECTOR_FALSE, where)
        return selected
