"""What a selector has against a device: which of its parts is false or fails, and the values behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydra_testbed.cel import CelCompileError, compile_selector
from pydra_testbed.explain.conjuncts import conjuncts, shorten
from pydra_testbed.explain.mentions import absent, mentions, values
from pydra_testbed.explain.model import Kind, Obstacle, SelectorPart
from pydra_testbed.scheduler.model import Device
from pydra_testbed.scheduler.verdicts import SelectorError, Verdicts


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector and where it stands: of a class, or of a request of a claim; `index` counts from 0."""

    owner: str
    name: str
    request: str
    index: int
    expression: str

    @property
    def where(self) -> str:
        """As told below a request, which says already of which claim it is."""
        owner = f"class {self.name}, " if self.owner == "class" else ""
        return f"{owner}selector {self.index}"


def obstacles(selector: Selector, device: Device, verdicts: Verdicts) -> Iterator[Obstacle]:
    """Nothing if the device is selected; else one obstacle per part that is false, or the one that fails."""
    try:
        if verdicts.matches(selector.expression, device):
            return
    except SelectorError as problem:
        yield _failure(selector, device, verdicts, str(problem))
        return
    parts = [p for p in conjuncts(selector.expression) if _is_false(p, device, verdicts)]
    for part in parts or [" ".join(selector.expression.split())]:
        yield _false(selector, device, part)


def complaints(selectors: Iterable[Selector]) -> Iterator[Obstacle]:
    """One obstacle for each selector that does not compile: no device can be judged by it."""
    for selector in selectors:
        try:
            compile_selector(selector.expression)
        except CelCompileError as problem:
            text = f"{selector.where}: CEL compile error: {problem}"
            remedy = "correct the expression: no pod that uses it can be scheduled"
            cause = _part(selector, selector.expression, ())
            yield Obstacle(Kind.SELECTOR_ERROR, text, remedy, cause)


def _is_false(part: str, device: Device, verdicts: Verdicts) -> bool:
    """A part that fails is no reason when another one is false: CEL then forgets the failure."""
    try:
        return not verdicts.matches(part, device)
    except SelectorError:
        return False


def _false(selector: Selector, device: Device, part: str) -> Obstacle:
    found = values(device, mentions(part))
    shown = "".join(f"; {_is(name, value)}" for name, value in found)
    text = f"{selector.where}: {shorten(part)} is false{shown}"
    return Obstacle(Kind.SELECTOR_FALSE, text, cause=_part(selector, part, found))


def _failure(selector: Selector, device: Device, verdicts: Verdicts, problem: str) -> Obstacle:
    parts = conjuncts(selector.expression)
    part = next((p for p in parts if _error(p, device, verdicts)), selector.expression)
    found = values(device, mentions(part))
    cause = _part(selector, part, found)
    shown = "".join(f"; {_is(name, value)}" for name, value in found)
    text = f"{selector.where}: {shorten(part)} fails: {problem}{shown}"
    return Obstacle(Kind.SELECTOR_ERROR, text, _guard(device, part, found), cause)


def guards(device: Device, part: str) -> str:
    """What to put before a part so that it does not fail on a device that lacks a value; empty if no help."""
    missing = absent(device, mentions(part))
    return " && ".join(f"has({mention.path})" for mention in missing)


def _guard(device: Device, part: str, found: tuple[tuple[str, str], ...]) -> str:
    needed = guards(device, part)
    if needed:
        return f"one failing device stops the whole pod; guard it: {needed} && ..."
    names = ", ".join(name for name, _ in found) or "the values"
    return f"one failing device stops the whole pod; compare {names} with a value of the same type"


def _error(part: str, device: Device, verdicts: Verdicts) -> bool:
    try:
        verdicts.matches(part, device)
    except SelectorError:
        return True
    return False


def _part(selector: Selector, expression: str, found: tuple[tuple[str, str], ...]) -> SelectorPart:
    return SelectorPart(
        selector.owner, selector.name, selector.request, selector.index, expression, found
    )


def _is(name: str, value: str) -> str:
    return f"it has no {name}" if value == "absent" else f"{name} is {value}"
