"""A spec file read by the rules of the reference library: slower than JSON, for what is not plain JSON.

`codec` comes here when the fast reading refuses a text, to read it as runtimes do or to say where it is wrong,
and when a spec breaks rules, to say where in the text.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from pydra_cdi._coerce import Coercion
from pydra_cdi._locate import place
from pydra_cdi._members import is_null
from pydra_cdi._nodes import Node
from pydra_cdi._types import join, type_of_spec
from pydra_cdi._yaml import Composed, compose
from pydra_cdi.accidents import Accident
from pydra_cdi.errors import MOST_FAULTS, Fault, MistypedError, UnreadableError
from pydra_cdi.model import Spec

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CUT = 60


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says.

    Attributes:
        spec: The spec as runtimes read it, required fields that are missing empty.
        missing: Faults for those fields.
        accidents: Where the spec is not what is written.
        root: The text as nodes, to find the places of further faults.
    """

    root: Node
    spec: Spec
    missing: tuple[Fault, ...]
    accidents: tuple[Accident, ...]

    def located(self, faults: Sequence[Fault]) -> tuple[Fault, ...]:
        """Give faults found in the spec their line and column, together with those for what is missing."""
        told = {fault.path for fault in self.missing}
        return place(self.root, [*self.missing, *(f for f in faults if f.path not in told)])


def read_document(data: bytes) -> Document:
    """Read a text as runtimes do.

    Raises:
        UnreadableError: It is no document.
        MistypedError: Fields are unknown or of the wrong type.
    """
    text = _as_utf8(data)
    composed = compose(text)
    if is_null(composed.root):
        raise UnreadableError("there is no spec in it", "write the spec again", 1, 1)
    coercion = Coercion()
    plain = coercion.spec(composed.root)
    missing: list[Fault] = []
    if plain is not None:
        _complete(plain, type_of_spec(), "", missing)
    if coercion.faults:
        told = {fault.path for fault in coercion.faults}
        faults = [*coercion.faults, *(fault for fault in missing if fault.path not in told)]
        raise MistypedError(place(composed.root, faults))
    accidents = [*coercion.accidents, *_ignored(composed, text)]
    accidents.sort(key=lambda accident: (accident.line, accident.column))
    return Document(composed.root, msgspec.convert(plain, Spec), tuple(missing), tuple(accidents))


def locate(data: bytes, faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Give faults found in a spec the line and column of its text, where they can be told."""
    try:
        return place(compose(_as_utf8(data)).root, faults)
    except UnreadableError:  # too large to be worth it
        return tuple(faults)


def _as_utf8(data: bytes) -> bytes:
    if not data.startswith(_UTF_16):
        return data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-16").encode()
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-16, as its byte order mark says"
        raise UnreadableError(message, "save the file as UTF-8", 1, 1) from error


def _complete(value: Any, kind: inspect.Type, at: str, missing: list[Fault]) -> None:
    """Fill in required fields that are not there, and take out null, which means the same."""
    match kind:
        case inspect.UnionType(types=types):
            _complete(value, types[0], at, missing)
        case inspect.CollectionType(item_type=item):
            for index, entry in enumerate(value):
                _complete(entry, item, f"{at}[{index}]", missing)
        case inspect.StructType() if value is not None:
            for field in kind.fields:
                path = join(at, field.encode_name)
                if value.get(field.encode_name) is None:
                    value.pop(field.encode_name, None)
                    if not field.required:
                        continue
                    remedy = f"every {kind.cls.__name__} needs it: add it"
                    if len(missing) < MOST_FAULTS:
                        missing.append(Fault(path, "it is missing", remedy))
                    value[field.encode_name] = _zero(field.type)
                _complete(value[field.encode_name], field.type, path, missing)
        case _:
            pass


def _zero(kind: inspect.Type) -> Any:
    match kind:
        case inspect.StructType():
            return {}
        case inspect.CollectionType():
            return []
        case _:
            return ""


def _ignored(composed: Composed, text: bytes) -> list[Accident]:
    if composed.rest is None:
        return []
    line, column, index = composed.rest
    written = text.decode(errors="replace")[index : index + _CUT]
    message = "what follows the first document is ignored by runtimes"
    return [Accident("", line, column, written, "", message, "give each spec its own file")]
