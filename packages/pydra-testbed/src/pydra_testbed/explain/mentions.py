"""Which values of a device a piece of CEL looks at, and what they are on one device.

Read from the checked tree, so that every spelling of `device.attributes["domain"].name` is understood. The
name of a whole domain (`cel.bind(a, device.attributes["domain"], ...)`) stands for everything in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydra_testbed.cel.environment import checking_environment
from pydra_testbed.cel.wire import Tree, children
from pydra_testbed.scheduler.model import Device

_MAPS = {"device.attributes": "attributes", "device.capacity": "capacity"}
_INDEX = frozenset({"_[_]", "_[?_]", "_?._"})
_PLAIN = {"driver": "driver", "allowMultipleAllocations": "allowMultipleAllocations"}
_COMPILE_ERRORS = (RuntimeError, ValueError, LookupError)


@dataclass(frozen=True, slots=True)
class Mention:
    """One value: `field` attributes, capacity, or a field of the device itself; no name is the whole domain."""

    field: str
    domain: str = ""
    name: str = ""

    @property
    def path(self) -> str:
        """The value as CEL spells it."""
        if not self.domain:
            return f"device.{self.field}"
        where = f"device.{self.field}[{json.dumps(self.domain)}]"
        return f"{where}.{self.name}" if self.name else where


@lru_cache(maxsize=1024)
def mentions(expression: str) -> tuple[Mention, ...]:
    """Each value once, in the order of the text; nothing for what does not compile."""
    try:
        tree = Tree(checking_environment().compile(expression).serialize())
    except _COMPILE_ERRORS:
        return ()
    return tuple(dict.fromkeys(_walk(tree.root)))


def _walk(node: Any) -> Iterator[Mention]:
    found = _mention(node)
    if found is not None:
        yield found
        return
    for child in children(node):
        yield from _walk(child)


def _mention(node: Any) -> Mention | None:
    step = _step(node)
    if step is None:
        return None
    operand, name = step
    if operand.ident_expr.name == "device" and name in _PLAIN:
        return Mention(_PLAIN[name])
    if field := _MAPS.get(operand.ident_expr.name):
        return Mention(field, name)
    below = _step(operand)
    if below is not None and (field := _MAPS.get(below[0].ident_expr.name)):
        return Mention(field, below[1], name)
    return None


def _step(node: Any) -> tuple[Any, str] | None:
    """What a node selects from, and the constant name it selects."""
    kind = node.WhichOneof("kind")
    if kind == "select_expr":
        return node.select_expr.operand, str(node.select_expr.field)
    call = node.call_expr
    if kind == "call_expr" and call.function in _INDEX and len(call.args) == 2:  # noqa: PLR2004 - map and key
        key = call.args[1].const_expr
        if key.WhichOneof("kind") == "string_value":
            return call.args[0], str(key.string_value)
    return None


def values(device: Device, found: tuple[Mention, ...]) -> tuple[tuple[str, str], ...]:
    """Each value with its short name; an absent one reads `absent`."""
    return tuple(pair for mention in found for pair in _values(device, mention))


def absent(device: Device, found: tuple[Mention, ...]) -> tuple[Mention, ...]:
    """The mentions of names that the device does not have."""
    return tuple(m for m in found if m.name and _look_up(device, m) is None)


def _values(device: Device, mention: Mention) -> Iterator[tuple[str, str]]:
    if mention.field == "driver":
        yield "driver", json.dumps(device.id.driver)
    elif not mention.domain:
        yield mention.field, json.dumps(device.is_shareable)
    elif mention.name:
        value = _look_up(device, mention)
        yield mention.name, "absent" if value is None else spelled(value)
    else:
        yield from _of_domain(device, mention)


def _of_domain(device: Device, mention: Mention) -> Iterator[tuple[str, str]]:
    for qualified, value in (device.body.get(mention.field) or {}).items():
        domain, _, name = qualified.rpartition("/")
        if (domain or device.id.driver) == mention.domain:
            yield name, spelled(value)


def _look_up(device: Device, mention: Mention) -> Mapping[str, Any] | None:
    held: Mapping[str, Any] = device.body.get(mention.field) or {}
    qualified = f"{mention.domain}/{mention.name}"
    if qualified in held or mention.domain != device.id.driver:
        return held.get(qualified)
    return held.get(mention.name)


def spelled(value: Mapping[str, Any]) -> str:
    """An attribute's or capacity's value, strings in quotes."""
    if "value" in value:
        return str(value["value"])
    if value.get("version") is not None:
        return f"version {value['version']}"
    return json.dumps(next(iter(value.values()), None), ensure_ascii=False)
