"""The JSON Schema (2020-12) of a model, for editors and CI: made from the same shapes as everything else."""

from __future__ import annotations

from typing import Any

from pydra_core._parameters.models import Model, shape_of
from pydra_core._parameters.shapes import (
    ABSENT,
    INT64,
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

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(model: Model, title: str) -> dict[str, Any]:
    """The schema of a model's parameters as a document of its own."""
    return {"$schema": DIALECT, "title": title, **_schema(shape_of(model))}


def _schema(shape: Shape) -> dict[str, Any]:  # noqa: C901, PLR0911 (a table of shapes)
    match shape:
        case Text(least, most, pattern):
            return _given(type="string", minLength=least, maxLength=most, pattern=pattern)
        case Whole(least, most, step):
            bounds = {
                "minimum": INT64[0] if least is None else least,
                "maximum": INT64[1] if most is None else most,
            }
            return {"type": "integer", **bounds, **_given(multipleOf=step)}
        case Real(gt, ge, lt, le):
            return _given(
                type="number", exclusiveMinimum=gt, minimum=ge, exclusiveMaximum=lt, maximum=le
            )
        case Flag():
            return {"type": "boolean"}
        case Null():
            return {"type": "null"}
        case Choice(values):
            return {"enum": list(values)}
        case Items(item, least, most):
            return _given(type="array", items=_schema(item), minItems=least, maxItems=most)
        case Table(key, value, least, most):
            names = {"propertyNames": _schema(key)} if key != Text() else {}
            inner = {"additionalProperties": _schema(value), **names}
            return {**_given(type="object", minProperties=least, maxProperties=most), **inner}
        case Record():
            return _record(shape)
        case Variants(variants):
            return {"oneOf": [_record(v.record, dict(v.marks)) for v in variants]}
        case Either(options):
            return {"anyOf": [_schema(option) for option in options]}
        case Unchecked(why):
            return {"$comment": f"judged by the driver alone: {why}"}


def _record(shape: Record, marks: dict[str, str] | None = None) -> dict[str, Any]:
    marks = marks or {}
    properties: dict[str, Any] = {name: {"const": text} for name, text in marks.items()}
    properties |= {f.name: _field(f) for f in shape.fields if f.name not in marks}
    required = [*marks, *(f.name for f in shape.fields if f.required and f.name not in marks)]
    described = {"description": shape.doc} if shape.doc else {}
    return {
        "type": "object",
        **described,
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _field(field: Field) -> dict[str, Any]:
    extra: dict[str, Any] = {"description": field.doc} if field.doc else {}
    if field.default is not ABSENT:
        extra["default"] = field.default
    if field.examples:
        extra["examples"] = list(field.examples)
    return {**_schema(field.shape), **extra}


def _given(**keywords: Any) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if value is not None}
