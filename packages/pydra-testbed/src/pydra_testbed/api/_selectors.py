"""Label and field selectors: parsed once per request, matched against stored objects.

Grammar and errors as in apimachinery `labels` and `fields`; used by list, watch and deletecollection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._names import label_key, label_value
from pydra_testbed.api._problems import bad_request
from pydra_testbed.api._store import Stored
from pydra_testbed.objects import ApiStatusError, Selection

_SET = re.compile(r"\s*(?P<key>[^\s!=<>,()]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)\s*")
_EXISTS = re.compile(r"\s*(?P<negated>!?)\s*(?P<key>[^\s!=<>,()]+)\s*")
_COMPARED = re.compile(
    r"\s*(?P<key>[^\s!=<>,()]+)\s*(?P<operator>==|!=|=|<|>)\s*(?P<value>[^\s!=<>,()]*)\s*"
)
_NAME, _NAMESPACE = "metadata.name", "metadata.namespace"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label."""

    key: str
    operator: str
    values: frozenset[str]

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "missing":
                return value is None
            case _:
                return _compared(value, self.operator, self.values)


def _compared(value: str | None, operator: str, values: frozenset[str]) -> bool:
    try:
        left, right = int(value or ""), int(next(iter(values)))
    except ValueError:
        return False
    return left > right if operator == ">" else left < right


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on a field, by the path it reads."""

    path: str
    value: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which stored objects a request means."""

    namespace: str = ""
    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    def matches(self, stored: Stored) -> bool:
        if self.namespace and stored.key[0] != self.namespace:
            return False
        if not all(requirement.holds(stored.labels) for requirement in self.labels):
            return False
        return all((_field(stored, term.path) == term.value) == term.equal for term in self.fields)


def _field(stored: Stored, path: str) -> str:
    if path == _NAME:
        return stored.key[1]
    return stored.key[0] if path == _NAMESPACE else stored.fields.get(path, "")


def matcher(kind: Kind, selection: Selection) -> Matcher:
    """Parse a selection for a kind.

    Raises:
        ApiStatusError: 400, a selector does not parse or names a field the kind has no index for.
    """
    namespace = selection.namespace if kind.namespaced else ""
    return Matcher(
        namespace,
        parse_labels(selection.label_selector),
        _fields(kind, selection.field_selector, selection.label_selector),
    )


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Equality- and set-based requirements, all of which must hold."""
    return tuple(_requirement(part) for part in _split(text)) if text.strip() else ()


def _split(text: str) -> list[str]:
    """At commas outside parentheses."""
    return re.split(r",(?![^()]*\))", text)


def _requirement(text: str) -> Requirement:
    if found := _SET.fullmatch(text):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return _checked(Requirement(found["key"], found["operator"], values))
    if found := _EXISTS.fullmatch(text):
        operator = "missing" if found["negated"] else "exists"
        return _checked(Requirement(found["key"], operator, frozenset()))
    if found := _COMPARED.fullmatch(text):
        operator = {"=": "in", "==": "in", "!=": "notin"}.get(found["operator"], found["operator"])
        return _checked(Requirement(found["key"], operator, frozenset({found["value"]})))
    raise bad_request(f"unable to parse requirement: found '{text.strip()}'")


def _checked(requirement: Requirement) -> Requirement:
    problems = label_key(requirement.key)
    for value in requirement.values:
        problems += label_value(value)
    if problems:
        raise bad_request(f"unable to parse requirement: {requirement.key}: {problems[0]}")
    return requirement


def _fields(kind: Kind, text: str, label_text: str) -> tuple[FieldTerm, ...]:
    terms = []
    for part in re.split(r"(?<!\\),", text):
        if not part:
            continue
        found = re.fullmatch(r"(?P<name>[^=!]+)(?P<operator>==|!=|=)(?P<value>.*)", part)
        if found is None:
            raise bad_request(f"invalid field selector: {part!r}: can't understand {part!r}")
        path = _path(kind, found["name"])
        if path is None:
            raise _unsupported(kind, found["name"], text, label_text)
        value = re.sub(r"\\(.)", r"\1", found["value"])
        terms.append(FieldTerm(path, value, found["operator"] != "!="))
    return tuple(terms)


def _path(kind: Kind, name: str) -> str | None:
    if name == _NAME or (name == _NAMESPACE and kind.namespaced):
        return name
    return kind.selectable.get(name)


def _unsupported(kind: Kind, name: str, text: str, label_text: str) -> ApiStatusError:
    resource = f"{kind.group}/{kind.version}, Resource={kind.plural}"
    why = f"field label not supported: {name}"
    if not kind.selectable:
        known = '"metadata.name", "metadata.namespace"'
        why = f'"{name}" is not a known field selector: only {known}'
    return bad_request(
        f'Unable to find "{resource}" that match label selector "{label_text}", '
        f'field selector "{text}": {why}'
    )
