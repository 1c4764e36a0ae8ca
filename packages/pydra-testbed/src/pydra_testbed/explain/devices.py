"""Everything that stands against one device for one request, where the scheduler would stop at the first thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydra_core.quantity import Quantity
from pydra_testbed.explain import selectors
from pydra_testbed.explain.holders import Register, in_words
from pydra_testbed.explain.model import Amount, Kind, Obstacle, TaintPart
from pydra_testbed.explain.selectors import Selector
from pydra_testbed.scheduler import capacity
from pydra_testbed.scheduler.cycle import Snapshot
from pydra_testbed.scheduler.model import ZERO, Claim, Device, InUse, Node, Request
from pydra_testbed.scheduler.nodes import placement_matches
from pydra_testbed.scheduler.pools import Pool
from pydra_testbed.scheduler.taints import untolerated_taint


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges devices as seen from one node."""

    snapshot: Snapshot
    register: Register
    node: Node

    def obstacles(
        self, claim: Claim, request: Request, pool: Pool, device: Device
    ) -> tuple[Obstacle, ...]:
        """All obstacles that do not depend on what else the pod asks for."""
        found = [*self._selectors(claim, request, device), *self._use(request, device)]
        if device.selects_nodes and not placement_matches(device.placement, self.node):
            found.append(Obstacle(Kind.OTHER_NODE, f"cannot be used from node {self.node.name}"))
        if (taint := untolerated_taint(device, request)) is not None:
            found.append(_tainted(taint.get("key", ""), taint.get("value", ""), taint["effect"]))
        found += self._capacity(request, device)
        found += self._counters(pool, device)
        found += _constraints(claim, request, device)
        return tuple(found)

    def _selectors(self, claim: Claim, request: Request, device: Device) -> Iterator[Obstacle]:
        for selector in selectors_of(self.snapshot, claim, request):
            yield from selectors.obstacles(selector, device, self.snapshot.verdicts)

    def _use(self, request: Request, device: Device) -> Iterator[Obstacle]:
        if device.id in self.snapshot.in_use.devices and not request.is_admin:
            holders = self.register.of(device.id)
            text = f"in use by {in_words(holders)}"
            remedy = "it becomes free when that pod ends or the claim is deleted"
            yield Obstacle(Kind.IN_USE, text, remedy, holders)

    def _capacity(self, request: Request, device: Device) -> Iterator[Obstacle]:
        consumed = self.snapshot.in_use.consumed.get(device.id, {})
        if capacity.fits(device, request.capacity, consumed, {}):
            return
        for name in request.capacity:
            if name not in device.capacity:
                yield Obstacle(Kind.CAPACITY, f"has no capacity {name}")
        for name, published in device.capacity.items():
            taken = consumed.get(name, ZERO)
            asked = capacity.consumption(request.capacity.get(name), published)
            left = published.value - taken
            if asked > left:
                yield self._short(device, Amount(name, str(asked), str(left), str(published.value)))
            elif not _allowed(device, request, name):
                text = f"{_last(name)}: {asked} is no amount its request policy allows"
                amount = Amount(name, str(asked), str(left), str(published.value))
                yield Obstacle(Kind.CAPACITY, text, cause=amount)

    def _short(self, device: Device, amount: Amount) -> Obstacle:
        text = f"{_last(amount.name)}: {amount.asked} asked, {amount.left} left of {amount.total}"
        holders = self.register.of(device.id)
        if holders.claims:
            text += f"; held by {in_words(holders)}"
        return Obstacle(Kind.CAPACITY, text, cause=amount)

    def _counters(self, pool: Pool, device: Device) -> Iterator[Obstacle]:
        in_use = self.snapshot.in_use
        if in_use.holds(device.id):
            return  # What it takes of the counters is taken already, by its holder.
        for set_name, used in device.consumes:
            for name, asked in used.items():
                total = pool.counters[set_name][name]
                left, users = _left(pool, in_use, set_name, name, total)
                if asked > left:
                    who = ", ".join(f"{user.id.name}, {self._held(user)}" for user in users)
                    text = (
                        f"shared counter {set_name}/{name}: needs {asked}, {left} left of {total}"
                    )
                    text += f"; taken by {who}" if who else ""
                    amount = Amount(f"{set_name}/{name}", str(asked), str(left), str(total))
                    yield Obstacle(Kind.COUNTER, text, cause=amount)

    def _held(self, device: Device) -> str:
        return f"in use by {in_words(self.register.of(device.id))}"


def selectors_of(snapshot: Snapshot, claim: Claim, request: Request) -> Iterator[Selector]:
    """The selectors a device has to satisfy: the class's, then the request's."""
    device_class = snapshot.classes.get(request.class_name)
    for index, expression in enumerate(device_class.selectors if device_class else ()):
        yield Selector("class", request.class_name, request.full_name, index, expression)
    for index, expression in enumerate(request.selectors):
        yield Selector("claim", claim.key, request.full_name, index, expression)


def _tainted(key: str, value: str, effect: str) -> Obstacle:
    spelled = f"{key}={value}:{effect}" if value else f"{key}:{effect}"
    text = f"taint {spelled} is not tolerated"
    remedy = f"if the device may be used anyway, give the request a toleration for {key}"
    return Obstacle(Kind.TAINT, text, remedy, TaintPart(key, value, effect))


def _allowed(device: Device, request: Request, name: str) -> bool:
    """Whether the amount of one capacity keeps to its policy, whatever is in use."""
    only = Device(device.id, {}, {name: device.capacity[name]})
    wanted = {k: v for k, v in request.capacity.items() if k == name}
    return capacity.fits(only, wanted, {}, {})


def _left(
    pool: Pool, in_use: InUse, set_name: str, name: str, total: Quantity
) -> tuple[Quantity, list[Device]]:
    users: list[Device] = []
    for device in (*pool.devices, *pool.elsewhere):
        used = dict(device.consumes).get(set_name, {})
        if name in used and in_use.holds(device.id):
            users.append(device)
            total = total - used[name]
    return total, users


def _constraints(claim: Claim, request: Request, device: Device) -> Iterator[Obstacle]:
    """An attribute that a constraint compares has to be there at all."""
    for index, constraint in enumerate(claim.constraints):
        if constraint.applies_to(request) and device.attribute(constraint.attribute) is None:
            text = f"constraint {index}: it has no attribute {constraint.attribute}"
            yield Obstacle(Kind.CONSTRAINT, text)


def _last(qualified: str) -> str:
    return qualified.rpartition("/")[2]
