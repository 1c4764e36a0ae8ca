"""Nodes to the plain data of a spec, by the rules of the reference library, with every accident on the way.

The library resolves scalars as YAML 1.1, prints numbers and booleans where text belongs, and hands the result
to Go's JSON decoder, which takes field names in any letter case, null for "as it was", and the fields of a
mapping in byte order, each into what the one before left. `_document` is the only caller.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from msgspec import inspect

from pydra_cdi._members import Member, fold, is_null, members, scalar_value
from pydra_cdi._nodes import Items, Node, Pairs, Scalar
from pydra_cdi._scalars import Value, is_ignored, number_text
from pydra_cdi._types import join, type_of_spec, unknown_field, wrong
from pydra_cdi.accidents import Accident
from pydra_cdi.errors import MOST_FAULTS, Fault, MistypedError
from pydra_cdi.model import Device

_CUT = 60
_PLAIN_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_PLAIN_BOOLEANS = frozenset({"true", "false"})
_EXPONENT_IN_JSON = (
    1e21  # from here on Go writes a float with an exponent, which no integer field takes
)
_COLLECTION_TAGS = frozenset({"", "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


@dataclass(slots=True)
class Coercion:
    """One document's way to plain data; `faults` and `accidents` gather while it is walked."""

    faults: list[Fault] = field(default_factory=list)
    accidents: list[Accident] = field(default_factory=list)
    _fields: dict[type, dict[str, inspect.Field]] = field(default_factory=dict)

    def spec(self, root: Node) -> Any:
        """Give plain data for a `Spec`, fields that are not there left out.

        Raises:
            UnreadableError: A key is there twice or null, or a scalar contradicts its tag.
            MistypedError: There are too many faults to go on.
        """
        return self._any(root, type_of_spec(), "", None)

    def _any(self, node: Node, kind: inspect.Type, at: str, old: Any) -> Any:
        match kind:
            case inspect.UnionType(types=types):
                return None if is_null(node) else self._any(node, types[0], at, old)
            case inspect.StructType():
                return self._struct(node, kind, at, old)
            case inspect.CollectionType(item_type=item):
                return self._list(node, item, at, old)
            case inspect.DictType():
                return self._texts(node, at, old)
            case _:
                return self._scalar(node, kind, at, old)

    def _struct(self, node: Node, kind: inspect.StructType, at: str, old: Any) -> Any:
        result = dict(old or {})
        if is_null(node):
            return result
        if not isinstance(node, Pairs):
            return self._wrong(node, f"an object ({kind.cls.__name__})", at)
        self._check_tag(node, at)
        fields = self._fields_of(kind)
        written: dict[str, Member] = {}
        for member in sorted(members(node), key=lambda m: m.name.encode()):
            known = fields.get(fold(member.name))
            if known is None:
                names = [f.encode_name for f in fields.values()]
                self._fault(member.key, unknown_field(member.name, names, join(at, member.name)))
                continue
            self._spelling(member, known.encode_name, written.get(known.name), at)
            written[known.name] = member
            before = result.get(known.encode_name)
            path = join(at, known.encode_name)
            result[known.encode_name] = self._any(member.value, known.type, path, before)
        return result

    def _fields_of(self, kind: inspect.StructType) -> dict[str, inspect.Field]:
        if (fields := self._fields.get(kind.cls)) is None:
            fields = self._fields[kind.cls] = {fold(f.encode_name): f for f in kind.fields}
        return fields

    def _spelling(self, member: Member, name: str, other: Member | None, at: str) -> None:
        if other is not None:
            message = f"{other.name!r} and {member.name!r} are the same field: the one that sorts last wins"
            self._accident(
                member.key, join(at, name), (member.name, name), message, "keep one of them"
            )
        elif member.name != name:
            message = f"the field is read as {name!r}: letter case plays no part for runtimes"
            remedy = f"write {name!r}, as the specification does"
            self._accident(member.key, join(at, name), (member.name, name), message, remedy)

    def _list(self, node: Node, item: inspect.Type, at: str, old: Any) -> Any:
        if is_null(node):
            return None
        if not isinstance(node, Items):
            return self._wrong(node, "a list", at)
        self._check_tag(node, at)
        old = old or []
        return [
            self._entry(entry, item, f"{at}[{index}]", old[index] if index < len(old) else None)
            for index, entry in enumerate(node.entries)
        ]

    def _entry(self, node: Node, item: inspect.Type, at: str, old: Any) -> Any:
        if not is_null(node) or (isinstance(item, inspect.StructType) and item.cls is Device):
            return self._any(node, item, at, old)
        if isinstance(item, inspect.StructType):
            return self._wrong(node, f"an object ({item.cls.__name__})", at)
        return self._null_as(node, "" if isinstance(item, inspect.StrType) else 0, at, old)

    def _texts(self, node: Node, at: str, old: Any) -> Any:
        if is_null(node):
            return None
        if not isinstance(node, Pairs):
            return self._wrong(node, "an object of strings", at)
        self._check_tag(node, at)
        result = dict(old or {})
        for member in members(node):
            path = f"{at}[{member.name!r}]"
            self._key(member, path)
            if is_null(member.value):
                result[member.name] = self._null_as(member.value, "", path, None)
            else:
                result[member.name] = self._text(member.value, path)
        return result

    def _key(self, member: Member, at: str) -> None:
        if isinstance(scalar_value(member.key), str):
            self._text(member.key, at)
        else:
            self._number_as(member.key, member.name, at)

    def _scalar(self, node: Node, kind: inspect.Type, at: str, old: Any) -> Any:
        if is_null(node):
            return old
        match kind:
            case inspect.IntType(ge=low, le=high):
                return self._integer(node, (low or 0, high or 0), at)
            case inspect.BoolType():
                return self._boolean(node, at)
            case _:
                return self._text(node, at)

    def _text(self, node: Node, at: str) -> Any:
        if not isinstance(node, Scalar):
            return self._wrong(node, "a string", at)
        value = scalar_value(node)
        if not isinstance(value, str):
            number = cast("float", value)  # all callers have answered null themselves
            return self._number_as(node, number_text(number), at)
        self._check_tag(node, at)
        if node.folded:
            message = "line breaks in it are read as blanks"
            self._accident(node, at, (node.text, value), message, r"write '\n' for a line break")
        if "\ufffd" in value and "\ufffd" not in node.text:
            message = "bytes in it that are no UTF-8 are replaced"
            self._accident(node, at, (node.text, value), message, "write it as text")
        return value

    def _number_as(self, node: Scalar, text: str, at: str) -> str:
        written = node.text[:_CUT]
        message = f"{written} is a number or boolean where text belongs, and is read as {text!r}"
        self._accident(node, at, (written, text), message, f'put it in quotes: "{written}"')
        return text

    def _integer(self, node: Node, bounds: tuple[float, float], at: str) -> Any:
        value = self._value(node)
        low, high = bounds
        if isinstance(value, float) and value.is_integer() and abs(value) < _EXPONENT_IN_JSON:
            is_minus_zero = value == 0 and math.copysign(1, value) < 0
            value = value if is_minus_zero and low == 0 else int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return self._wrong(node, "an integer", at)
        if not low <= value <= high:
            self._fault(node, Fault(at, f"{value} is out of range", f"use {low} to {high}"))
        elif isinstance(node, Scalar) and not _says(node.text, value):
            message = f"{node.text[:_CUT]} is read as the number {value}"
            self._accident(node, at, (node.text, str(value)), message, f"write {value}")
        return value

    def _boolean(self, node: Node, at: str) -> Any:
        value = self._value(node)
        if not isinstance(value, bool):
            return self._wrong(node, "true or false", at)
        if isinstance(node, Scalar) and node.text.lower() not in _PLAIN_BOOLEANS:
            text = number_text(value)
            message = f"{node.text} is read as {text}"
            self._accident(node, at, (node.text, text), message, f"write {text}")
        return value

    def _value(self, node: Node) -> Value | Node:
        return scalar_value(node) if isinstance(node, Scalar) else node

    def _null_as(self, node: Node, zero: str | int, at: str, old: Any) -> Any:
        read_as = zero if old is None else old
        message = f"null is read as {read_as!r}"
        self._accident(
            node, at, ("null", str(read_as)), message, "write the value or take the entry out"
        )
        return read_as

    def _wrong(self, node: Node, wanted: str, at: str) -> None:
        value: Value | dict[str, Any] | list[Any]
        match node:
            case Scalar():
                value = scalar_value(node)
            case Pairs():
                value = {}
            case _:
                value = []
        self._fault(node, wrong(value, wanted, at))

    def _check_tag(self, node: Node, at: str) -> None:
        ignored = (
            is_ignored(node.tag) if isinstance(node, Scalar) else node.tag not in _COLLECTION_TAGS
        )
        if ignored:
            message = f"the tag {node.tag[:_CUT]} means nothing to runtimes"
            self._accident(node, at, (node.tag, ""), message, "take the tag out")

    def _fault(self, node: Node, fault: Fault) -> None:
        self.faults.append(Fault(fault.path, fault.message, fault.remedy, node.line, node.column))
        if len(self.faults) >= MOST_FAULTS:
            raise MistypedError(self.faults)

    def _accident(
        self, node: Node, at: str, change: tuple[str, str], message: str, remedy: str
    ) -> None:
        count = len(self.accidents)
        written, read_as = (text[:_CUT] for text in change)
        if count == MOST_FAULTS:
            at, message, remedy = "", "there are more accidents from here on", "mend these first"
        if count <= MOST_FAULTS:
            accident = Accident(at, node.line, node.column, written, read_as, message, remedy)
            self.accidents.append(accident)


def _says(text: str, value: int) -> bool:
    return bool(_PLAIN_NUMBER.fullmatch(text)) and Decimal(text) == value
