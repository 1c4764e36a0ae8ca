"""An explanation as plain text for people, indented, within a width; nearest misses first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from pydra_testbed.explain.model import (
    ClaimReport,
    DeviceReport,
    Explanation,
    Kind,
    NodeReport,
    Obstacle,
    RequestReport,
)

_ALL = 10**9


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is told: columns, nodes, and devices per request."""

    width: int = 80
    nodes: int = 3
    devices: int = 6

    @classmethod
    def none(cls, width: int = 80) -> Limits:
        """Tell everything."""
        return cls(width, _ALL, _ALL)


def in_words(explanation: Explanation, limits: Limits | None = None) -> str:
    """The text, without a line end after its last line."""
    bounds = limits or Limits()
    lines = _Lines(bounds.width)
    lines.add(0, f"{explanation.subject}: {explanation.summary}")
    if explanation.scheduler:
        lines.add(1, f"scheduler: {explanation.scheduler}")
    for claim in explanation.claims:
        _tell_claim(lines, claim)
    for choice in explanation.choices:
        lines.add(1, f"request {choice.request} of claim {choice.claim} would get {choice.device}")
    for obstacle in explanation.obstacles:
        _tell_obstacle(lines, 1, obstacle)
    for node in explanation.nodes[: bounds.nodes]:
        _tell_node(lines, node, bounds, len(explanation.claims) > 1)
    if (more := len(explanation.nodes) - bounds.nodes) > 0:
        lines.add(1, f"and {more} further nodes (--all shows them)")
    for note in explanation.notes:
        lines.add(1, f"note: {note}")
    if explanation.change:
        lines.add(0, f"Cheapest change: {explanation.change}.")
    return "\n".join(lines.done)


class _Lines:
    """Lines of one width; what does not fit goes on two columns further in."""

    def __init__(self, width: int) -> None:
        self.done: list[str] = []
        self._width = width

    def add(self, depth: int, text: str) -> None:
        indent = "  " * depth
        for number, line in enumerate(text.splitlines() or [""]):
            first = indent if number == 0 else f"{indent}  "
            # Names and values come from drivers and users: none may command the terminal.
            shown = "".join(char if char.isprintable() else "?" for char in line)
            self.done += textwrap.wrap(
                shown,
                self._width,
                initial_indent=first,
                subsequent_indent=f"{indent}  ",
                break_on_hyphens=False,
            )


def _tell_claim(lines: _Lines, claim: ClaimReport) -> None:
    origin = f" (template {claim.template})" if claim.template else ""
    if claim.devices:
        where = f" on {claim.node}" if claim.node else ""
        lines.add(1, f"claim {claim.claim}{origin} is allocated{where}: {', '.join(claim.devices)}")
        if claim.reserved_for:
            lines.add(2, f"reserved for pod {', '.join(claim.reserved_for)}")
    elif claim.is_made:
        lines.add(1, f"claim {claim.claim}{origin} is not allocated")
    else:
        lines.add(1, f"claim {claim.claim} (to be made from template {claim.template})")


def _tell_node(lines: _Lines, node: NodeReport, limits: Limits, has_many: bool) -> None:  # noqa: FBT001 - one word in one line
    lines.add(1, f"node {node.node}")
    for obstacle in node.obstacles:
        _tell_obstacle(lines, 2, obstacle)
    for request in node.requests:
        _tell_request(lines, request, limits, f" of claim {request.claim}" if has_many else "")


def _tell_request(lines: _Lines, request: RequestReport, limits: Limits, owner: str) -> None:
    asked = f"{request.wanted or 'all'} of class {request.device_class}"
    judged = f"{request.fitting} of {len(request.devices)} devices would do"
    if any(obstacle.kind is Kind.SELECTOR_ERROR for obstacle in request.obstacles):
        judged = "no device can be judged"
    lines.add(2, f"request {request.request}{owner}, {asked}: {judged}")
    for obstacle in request.obstacles:
        _tell_obstacle(lines, 3, obstacle)
    refused = [device for device in request.devices if device.obstacles]
    for device in refused[: limits.devices]:
        _tell_device(lines, device)
    if (more := len(refused) - limits.devices) > 0:
        lines.add(3, f"and {more} further devices (--all shows them)")
    for line in _leftovers(request):
        lines.add(3, line)


def _leftovers(request: RequestReport) -> Iterator[str]:
    if request.devices and (fit := [d.device for d in request.devices if not d.obstacles]):
        yield f"nothing speaks against {', '.join(fit[:6])}{' ...' if len(fit) > 6 else ''}"  # noqa: PLR2004 - a line's worth
    if request.other_drivers:
        yield f"devices of other drivers, not looked at: {request.other_drivers}"


def _tell_device(lines: _Lines, device: DeviceReport) -> None:
    lines.add(3, device.device)
    for obstacle in device.obstacles:
        _tell_obstacle(lines, 4, obstacle)


def _tell_obstacle(lines: _Lines, depth: int, obstacle: Obstacle) -> None:
    lines.add(depth, obstacle.text)
    if obstacle.remedy:
        lines.add(depth + 1, f"-> {obstacle.remedy}")
