"""Validation rules of schemas in CEL (`x-kubernetes-validations`, KEP-2876).

A rule sees the value it stands at as `self`, and as `oldSelf` what was there before; with `oldSelf` in it, it is
held only where something was. Nothing is known about types before a run, so a rule that Kubernetes would not
compile may compile here and fail when it runs; there is no limit on what a rule costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydra_testbed.api._causes import Cause
from pydra_testbed.cel.errors import CelCompileError, CelEvaluationError
from pydra_testbed.cel.expressions import compile_expression

RULES = "x-kubernetes-validations"
_VARIABLES = ("self", "oldSelf")
_OLD = re.compile(r"\boldSelf\b")
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_PREFIXES = {"FieldValueForbidden": "Forbidden: ", "FieldValueRequired": "Required value: "}
_ABSENT = object()


def uncompiled(rule: Mapping[str, Any]) -> str:
    """Why a rule cannot be kept; empty when it can."""
    if rule.get("optionalOldSelf"):
        return "optionalOldSelf is not evaluated by this server"
    try:
        for name in ("rule", "messageExpression"):
            if rule.get(name):
                compile_expression(str(rule[name]), _VARIABLES)
    except CelCompileError as error:
        return f"compilation failed: {error}"
    return "" if rule.get("rule") else "rule is not specified"


def broken(new: Any, old: Any, schema: Mapping[str, Any]) -> Iterator[Cause]:
    """The rules that do not hold for an object; `old` is None for a new one."""
    yield from _value(new, _ABSENT if old is None else old, schema, "")


def _value(new: Any, old: Any, schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    for rule in schema.get(RULES) or ():
        if old is not _ABSENT or not _OLD.search(rule["rule"]):
            yield from _rule(rule, (new, old), schema, at)
    if isinstance(new, dict):
        known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for key, item in new.items():
            below = known.get(key, rest)
            if isinstance(below, dict):
                yield from _value(item, before.get(key, _ABSENT), below, f"{at}.{key}".lstrip("."))
    elif isinstance(new, list) and isinstance(schema.get("items"), dict):
        before = _by_keys(old, schema)
        for index, item in enumerate(new):
            was = before.get(_keys(item, schema), _ABSENT)
            yield from _value(item, was, schema["items"], f"{at}[{index}]")


def _by_keys(items: Any, schema: Mapping[str, Any]) -> dict[Any, Any]:
    """The old entries of a list that can be told apart; of any other list nothing is old."""
    if not isinstance(items, list) or schema.get("x-kubernetes-list-type") != "map":
        return {}
    return {_keys(item, schema): item for item in items}


def _keys(item: Any, schema: Mapping[str, Any]) -> Any:
    names = schema.get("x-kubernetes-list-map-keys") or ()
    return tuple(str(item.get(name)) for name in names) if isinstance(item, dict) else None


def _rule(
    rule: Mapping[str, Any], values: tuple[Any, Any], schema: Mapping[str, Any], at: str
) -> Iterator[Cause]:
    new, old = values
    given = {"self": _seen(new, schema), "oldSelf": None if old is _ABSENT else _seen(old, schema)}
    field = f"{at}{rule.get('fieldPath', '')}".lstrip(".") or "<nil>"
    try:
        if compile_expression(rule["rule"], _VARIABLES).evaluate(given) is True:
            return
        message = _message(rule, given)
    except CelEvaluationError as error:
        message = f"{error} evaluating rule: {rule['rule']}"
    reason = str(rule.get("reason") or "FieldValueInvalid")
    prefix = _PREFIXES.get(reason) or f'Invalid value: "{schema.get("type", "")}": '
    yield Cause(field, reason, f"{prefix}{message}")


def _message(rule: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The rule's own words, made or written, or the rule itself."""
    if rule.get("messageExpression"):
        try:
            made = compile_expression(rule["messageExpression"], _VARIABLES).evaluate(given)
        except CelEvaluationError:
            made = ""
        if isinstance(made, str) and made.strip() and "\n" not in made:
            return made
    return str(rule.get("message") or f"failed rule: {rule['rule'].strip()}")


def _seen(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value as rules see it: fields under names that CEL can spell, numbers and times by their type."""
    if isinstance(value, dict):
        known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        below = rest if isinstance(rest, dict) else {}
        return {
            (_spelled(key) if key in known else key): _seen(item, known.get(key, below))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_seen(item, schema.get("items") or {}) for item in value]
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if schema.get("format") == "date-time" and isinstance(value, str):
        return datetime.fromisoformat(value)
    return value


def _spelled(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    for sign, spelling in _ESCAPES:
        name = name.replace(sign, spelling)
    return name
