"""What parameters may look like: the part of msgspec's types that Python, JSON Schema and CEL judge alike.

`models` makes shapes from a driver's model; `checking`, `schema`, `rules` and `examples` read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

INT64: Final = (-(1 << 63), (1 << 63) - 1)
"""What the API server keeps as a whole number; beyond, it makes a float of it."""

Kind: TypeAlias = str
"""The JSON type of a value, numbers told apart: string, int, number, bool, list, map, null."""

WORDS: Final = {
    "string": "a string",
    "int": "a whole number",
    "number": "a number",
    "bool": "true or false",
    "list": "a list",
    "map": "an object",
    "null": "null",
}

ABSENT: Final = object()
"""The default of a field that has none."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string; lengths are in characters, `pattern` is of the part that `patterns` allows."""

    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number of 64 bits."""

    minimum: int | None = None
    maximum: int | None = None
    multiple_of: int | None = None


@dataclass(frozen=True, slots=True)
class Real:
    """Any number."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Null:
    """JSON's null."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these strings, or of these whole numbers."""

    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    item: Shape
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """An object whose field names are the user's."""

    key: Text | Choice
    value: Shape
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record, by the name users write."""

    name: str
    shape: Shape
    required: bool
    default: Any = ABSENT
    doc: str = ""
    examples: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these fields and no other."""

    fields: tuple[Field, ...]
    doc: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)


@dataclass(frozen=True, slots=True)
class Variant:
    """One of several records; `marks` are the fields that tell which, with their values."""

    marks: tuple[tuple[str, str], ...]
    record: Record


@dataclass(frozen=True, slots=True)
class Variants:
    """Records told apart by `kind`, by `apiVersion` and `kind`, or by another field. All have the same marks."""

    variants: tuple[Variant, ...]

    @property
    def mark_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.variants[0].marks)


@dataclass(frozen=True, slots=True)
class Either:
    """Shapes of different JSON types."""

    options: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Unchecked:
    """What only the driver itself judges; `why` tells an author who asks for a policy."""

    why: str


Shape: TypeAlias = (
    Text
    | Whole
    | Real
    | Flag
    | Null
    | Choice
    | Items
    | Table
    | Record
    | Variants
    | Either
    | Unchecked
)

_OF_TYPE: Final[dict[type, frozenset[Kind]]] = {
    Text: frozenset({"string"}),
    Whole: frozenset({"int"}),
    Real: frozenset({"int", "number"}),
    Flag: frozenset({"bool"}),
    Null: frozenset({"null"}),
    Items: frozenset({"list"}),
    Table: frozenset({"map"}),
    Record: frozenset({"map"}),
    Variants: frozenset({"map"}),
    Unchecked: frozenset(WORDS),
}


def kinds(shape: Shape) -> frozenset[Kind]:
    """The JSON types that fit."""
    if isinstance(shape, Either):
        return frozenset().union(*map(kinds, shape.options))
    if isinstance(shape, Choice):
        return frozenset({"int" if isinstance(shape.values[0], int) else "string"})
    return _OF_TYPE[type(shape)]


def kind_of(value: Any) -> Kind:  # noqa: PLR0911 (a table of types)
    """The JSON type of a decoded value, as the API server sees it."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int" if INT64[0] <= value <= INT64[1] else "number"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "map"


def in_words(shape: Shape) -> str:
    """What a value of the wrong JSON type is told."""
    if isinstance(shape, Choice):
        return one_of(shape.values)
    if isinstance(shape, Either) and any(isinstance(o, Choice) for o in shape.options):
        return "must be " + " or ".join(
            in_words(option).removeprefix("must be ") for option in shape.options
        )
    fitting = kinds(shape) - ({"int"} if "number" in kinds(shape) else set())
    return "must be " + " or ".join(word for kind, word in WORDS.items() if kind in fitting)


def one_of(values: tuple[str, ...] | tuple[int, ...]) -> str:
    """The message for a value that is not among these."""
    allowed = ", ".join(map(str, values))
    return f"must be {'one of ' if len(values) > 1 else ''}{allowed}"
