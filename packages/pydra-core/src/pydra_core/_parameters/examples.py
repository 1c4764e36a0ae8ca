"""Manifests to begin with: a class, a template and a claim whose parameters fit the model.

Values come from `Meta(examples=[...])`, else from defaults, else they are the smallest that fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydra_core._parameters.checking import faults, join
from pydra_core._parameters.models import Model, shape_of
from pydra_core._parameters.shapes import (
    ABSENT,
    Choice,
    Either,
    Field,
    Flag,
    Items,
    Null,
    Real,
    Record,
    Shape,
    Table,
    Text,
    Unchecked,
    Variants,
    Whole,
)
from pydra_core.errors import ConfigError

_API = "resource.k8s.io/v1"


def parameters(model: Model) -> list[dict[str, Any]]:
    """Parameters that fit, one object for each kind the model has.

    Raises:
        ConfigError: nothing that fits can be made up; names the field that needs an example.
    """
    shape = shape_of(model)
    if isinstance(shape, Variants):
        return [_record(v.record, "", dict(v.marks)) for v in shape.variants]
    made = _made(shape, "")
    return [made] if isinstance(made, dict) else []


def manifests(driver: str, model: Model) -> list[dict[str, Any]]:
    """A class with parameters, and a claim and template for each kind of parameters. Raises `ConfigError`."""
    found = parameters(model)
    return [_class(driver, found[0]), *_claims(driver, found)]


def _class(driver: str, held: dict[str, Any]) -> dict[str, Any]:
    selector = {"cel": {"expression": f'device.driver == "{driver}"'}}
    return {
        "apiVersion": _API,
        "kind": "DeviceClass",
        "metadata": {"name": driver},
        "spec": {"selectors": [selector], "config": [_entry(driver, held)]},
    }


def _claims(driver: str, found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    names = [_name(held) for held in found]
    for number, held in enumerate(found):
        name = names[number] if names.count(names[number]) == 1 else f"{names[number]}-{number + 1}"
        request = {"name": "device", "exactly": {"deviceClassName": driver}}
        config = {"requests": ["device"], **_entry(driver, held)}
        spec = {"devices": {"requests": [request], "config": [config]}}
        for kind, inner in (("ResourceClaim", spec), ("ResourceClaimTemplate", {"spec": spec})):
            yield {"apiVersion": _API, "kind": kind, "metadata": {"name": name}, "spec": inner}


def _name(held: dict[str, Any]) -> str:
    """After the kind of the parameters, where they have one that can be a name."""
    name = str(held.get("kind", "")).lower()
    return name if re.fullmatch("[a-z0-9]{1,63}", name) else "device"


def _entry(driver: str, held: dict[str, Any]) -> dict[str, Any]:
    return {"opaque": {"driver": driver, "parameters": held}}


def _record(shape: Record, path: str, marks: dict[str, str] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = dict(marks or {})
    for field in shape.fields:
        if field.name not in made:
            made[field.name] = _field(field, join(path, field.name))
    return {name: value for name, value in made.items() if value is not ABSENT}


def _field(field: Field, path: str) -> Any:
    for value in (*field.examples, field.default):
        if value is not ABSENT and value is not None and not any(faults(field.shape, value)):
            return value
    if not field.required:
        return ABSENT
    return _made(field.shape, path)


def _made(shape: Shape, path: str) -> Any:
    for value in _candidates(shape, path):
        if not any(faults(shape, value)):
            return value
    raise ConfigError(
        f"parameters: {path or 'the model'}: no example can be made up; give the field one with"
        " msgspec.Meta(examples=[...])",
        key="config",
        source=path,
    )


def _candidates(shape: Shape, path: str) -> Iterator[Any]:  # noqa: C901 (a table of shapes)
    match shape:
        case Text(least, _, _):
            yield from ("x" * max(least or 1, 1), "a1", "0", "")
        case Whole(least, most, step):
            step = step or 1
            start = least if least is not None else min(most if most is not None else step, step)
            yield from (-(-start // step) * step, start // step * step)
        case Real(gt, ge, lt, le):
            low = next((b for b in (ge, gt) if b is not None), None)
            high = next((b for b in (le, lt) if b is not None), None)
            middle = (low + high) / 2 if low is not None and high is not None else None
            yield from (v for v in (ge, le, middle, 1.0) if v is not None)
            yield from (bound + by for bound, by in ((low, 1), (high, -1)) if bound is not None)
        case Flag():
            yield False
        case Null() | Unchecked():
            yield None
        case Choice(values):
            yield from values
        case Items(item, least, _):
            yield [_made(item, f"{path}[0]") for _ in range(least or 1)]
        case Table(key, value, least, _):
            name = _made(key, path)
            yield {f"{name}{n or ''}": _made(value, path) for n in range(least or 1)}
        case Record():
            yield _record(shape, path)
        case Variants(variants):
            yield _record(variants[0].record, path, dict(variants[0].marks))
        case Either(options):
            yield from (value for option in options for value in _candidates(option, path))
