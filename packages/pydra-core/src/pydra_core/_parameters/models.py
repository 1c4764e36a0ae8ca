"""From a driver's model to shapes. `shape_of` is what the rest of this room calls."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable
from functools import lru_cache
from types import UnionType
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect as types

from pydra_core._parameters import patterns
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
    Variant,
    Variants,
    Whole,
    kinds,
)

Model: TypeAlias = Any
"""A `msgspec.Struct` class, or a union of several (`OrderV1 | OrderV2`)."""

MARKS = ("apiVersion", "kind")


def members(model: Model) -> tuple[Any, ...]:
    """The classes of a model: itself, or the members of the union it is."""
    origin: Any = typing.get_origin(model)
    return typing.get_args(model) if origin in {typing.Union, UnionType} else (model,)


@lru_cache(maxsize=64)
def shape_of(model: Model) -> Shape:
    """What a model allows. Types that other engines would judge differently become `Unchecked`."""
    classes = members(model)
    if len(classes) == 1:
        return _whole_record(model)
    records = [_whole_record(each) for each in classes]
    variants = [_variant(record) for record in records if isinstance(record, Record)]
    names = {tuple(name for name, _ in variant.marks) for variant in variants}
    marks = {variant.marks for variant in variants}
    if len(variants) < len(classes) or len(names) > 1 or () in names or len(marks) < len(variants):
        return Unchecked(
            "kinds of parameters need fields apiVersion and kind, or kind alone, with one Literal each that differ"
        )
    return Variants(tuple(variants))


def member_of(model: Model, value: Any) -> Model:
    """The class of the model that a checked value belongs to."""
    shape = shape_of(model)
    if not isinstance(shape, Variants):
        return model
    for each, variant in zip(members(model), shape.variants, strict=True):
        if all(value.get(name) == text for name, text in variant.marks):
            return each
    return model


def _variant(record: Record) -> Variant:
    """Take the marks out of a record's fields: those that may hold one string only."""
    single = {
        f.name: f.shape.values[0]
        for f in record.fields
        if f.required
        and isinstance(f.shape, Choice)
        and len(f.shape.values) == 1
        and isinstance(f.shape.values[0], str)
    }
    chosen = [name for name in MARKS if name in single] or list(single)[:1]
    return Variant(tuple((name, single[name]) for name in chosen), record)


def _whole_record(model: Model) -> Shape:
    """The shape of a class that stands at the top, where its tag is required: a second kind may come later."""
    try:
        info = types.type_info(model)
    except (TypeError, ValueError, NameError) as err:
        return Unchecked(str(err))
    return _shape(info, frozenset(), tag_required=True)


def _shape(  # noqa: C901, PLR0911 (a table of types)
    info: types.Type, above: frozenset[type], *, tag_required: bool = False
) -> Shape:
    match info:
        case types.Metadata(inner):
            return _shape(inner, above)
        case types.StrType(least, most, pattern):
            if pattern is not None and (why := patterns.problem(pattern)):
                return Unchecked(f"pattern {pattern}: {why}")
            return Text(least, most, pattern)
        case types.IntType():
            return _int(info)
        case types.FloatType():
            if info.multiple_of is not None:
                return Unchecked("multiple_of of a float is not exact")
            return Real(info.gt, info.ge, info.lt, info.le)
        case types.BoolType():
            return Flag()
        case types.NoneType():
            return Null()
        case types.LiteralType(values):
            return _choice(values)
        case types.EnumType(cls):
            return _choice(member.value for member in cls)
        case types.UnionType(options):
            return _union(options, above)
    return _container(info, above, tag_required=tag_required)


def _container(  # noqa: PLR0911 (a table of types)
    info: types.Type, above: frozenset[type], *, tag_required: bool
) -> Shape:
    match info:
        case types.ListType(item, least, most) | types.VarTupleType(item, least, most):
            return Items(_shape(item, above), least, most)
        case types.DictType(key, value, least, most):
            names = _shape(key, above)
            if not isinstance(names, Text | Choice) or kinds(names) != {"string"}:
                return Unchecked("keys that are no strings")
            return Table(names, _shape(value, above), least, most)
        case types.StructType(array_like=False) | types.DataclassType():
            if info.cls in above:
                return Unchecked(f"{info.cls.__name__} holds itself")
            if isinstance(getattr(info, "tag", None), int):
                return Unchecked(f"{info.cls.__name__} has a number for its tag")
            return _record(info, above | {info.cls}, tag_required=tag_required)
    return Unchecked(f"{type(info).__name__.removesuffix('Type').lower()} is no type of JSON")


def _int(info: types.IntType) -> Shape:
    above = None if info.gt is None else int(info.gt) + 1
    below = None if info.lt is None else int(info.lt) - 1
    return Whole(
        above if info.ge is None else int(info.ge),
        below if info.le is None else int(info.le),
        None if info.multiple_of is None else int(info.multiple_of),
    )


def _choice(values: Iterable[Any]) -> Shape:
    found = tuple(values)
    options: list[Shape] = []
    if strings := tuple(v for v in found if isinstance(v, str)):
        options.append(Choice(strings))
    if numbers := tuple(v for v in found if isinstance(v, int)):
        options.append(Choice(numbers))
    if None in found:
        options.append(Null())
    if not options or len(strings) + len(numbers) + (None in found) < len(found):
        return Unchecked("an enumeration of other values than strings and whole numbers")
    return options[0] if len(options) == 1 else Either(tuple(options))


def _union(options: Iterable[types.Type], above: frozenset[type]) -> Shape:
    shapes = [_shape(option, above) for option in options]
    records = [s for s in shapes if isinstance(s, Record)]
    others: list[Shape] = [s for s in shapes if not isinstance(s, Record)]
    if len(records) > 1:
        tagged = [_variant(_requiring_tag(o)) for o in options if isinstance(o, types.StructType)]
        others.append(Variants(tuple(_with_fields(tagged, records))))
    else:
        others += records
    for shape in others:
        if isinstance(shape, Unchecked):
            return shape
    found = [kind for shape in others for kind in kinds(shape)]
    if len(set(found)) < len(found):
        return Unchecked("a union of types that JSON does not tell apart")
    return Either(tuple(others)) if len(others) > 1 else others[0]


def _requiring_tag(info: types.StructType) -> Record:
    """Only the tag of a struct in a union, where msgspec requires it."""
    return Record((Field(str(info.tag_field), Choice((str(info.tag),)), required=True),))


def _with_fields(tagged: Iterable[Variant], records: Iterable[Record]) -> Iterable[Variant]:
    for variant, record in zip(tagged, records, strict=True):
        yield Variant(variant.marks, record)


def _record(
    info: types.StructType | types.DataclassType, above: frozenset[type], *, tag_required: bool
) -> Record:
    fields = [_field(each, above) for each in info.fields]
    if isinstance(info, types.StructType) and info.tag_field is not None:
        tag = str(info.tag)
        mark = Field(info.tag_field, Choice((tag,)), required=tag_required, default=tag)
        fields.insert(0, mark)
    return Record(tuple(fields), _doc(info.cls))


def _doc(cls: type) -> str:
    """A class's own docstring; that of a base or of a bare dataclass says nothing of the parameters."""
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    return "" if doc.startswith(f"{cls.__name__}(") else doc


def _field(field: types.Field, above: frozenset[type]) -> Field:
    extra: dict[str, Any] = {}
    info = field.type
    while isinstance(info, types.Metadata):
        extra = {**(info.extra_json_schema or {}), **extra}
        info = info.type
    default: Any = ABSENT
    if field.default is not msgspec.NODEFAULT:
        default = msgspec.to_builtins(field.default, str_keys=True)
    elif field.default_factory is not msgspec.NODEFAULT:
        default = msgspec.to_builtins(field.default_factory(), str_keys=True)
    return Field(
        field.encode_name,
        _shape(info, above),
        required=field.required,
        default=default,
        doc=str(extra.get("description", "")),
        examples=tuple(extra.get("examples", ())),
    )
