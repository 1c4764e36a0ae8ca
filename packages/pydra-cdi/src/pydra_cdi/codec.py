"""Spec files' bytes to specs and back; the one place where a spec's text is read or written.

Drivers encode through `SpecDirectory`, runtimes decode through `read_spec` and `Registry`, `lint` reads with
`read_text`. Text that every reader reads alike is decoded straight into the model; all other text is read by
the rules of the reference library, and what it reads otherwise than written comes back as accidents.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from pydra_cdi._safe_json import has_repeated_keys, is_long_key, is_safe, is_too_large
from pydra_cdi._shape import type_faults
from pydra_cdi.accidents import Reading
from pydra_cdi.errors import Fault, MistypedError, SpecError, UnreadableError
from pydra_cdi.model import ENCODER, Spec
from pydra_cdi.validation import find_faults

if TYPE_CHECKING:
    from pydra_cdi._document import Document

_DECODER = msgspec.json.Decoder(Spec)
# A YAML 1.1 parser refuses these or takes them for blanks and line breaks when they stand in JSON text as they are.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def decode_spec(data: bytes, *, source: str = "the CDI spec") -> Spec:
    """Read a spec from JSON or YAML as runtimes do, and validate it.

    Args:
        data: The whole file.
        source: What error messages call it.

    Raises:
        SpecError: It cannot be read or breaks rules; carries every fault found, with line and column.
    """
    if spec := _decode_fast(data, source):
        if faults := find_faults(spec):
            raise SpecError(source, locate(data, faults))
        return spec
    document = _read(data, source)
    if faults := find_faults(document.spec):
        raise SpecError(source, document.located(faults))
    return document.spec


def read_text(data: bytes, *, source: str = "the CDI spec") -> Reading:
    """Read a spec as runtimes do and tell where that is not what is written; does not validate it.

    Required fields that are missing come back empty, which validation refuses.

    Raises:
        SpecError: Runtimes cannot read it either: it is no document, or a field is unknown or of the wrong type.
    """
    if spec := _decode_fast(data, source):
        return Reading(spec)
    document = _read(data, source)
    return Reading(document.spec, document.accidents)


def parse_spec(data: bytes, *, source: str = "the CDI spec") -> Spec:
    """Read a spec as runtimes do, without asking whether it is valid beyond the types of its fields.

    Raises:
        SpecError: It is no document, or a field is unknown or of the wrong type.
    """
    return read_text(data, source=source).spec


def locate(data: bytes, faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Give faults of a spec that was read from `data` their line and column, in the order of the text."""
    from pydra_cdi import _document  # noqa: PLC0415 - lazy: a program that sees only good JSON never loads PyYAML

    return _document.locate(data, faults)


def _decode_fast(data: bytes, source: str) -> Spec | None:
    if is_too_large(data):
        remedy = "split it into several files"
        raise SpecError(source, [Fault("", "it holds more values than any spec", remedy, 1, 1)])
    if not is_safe(data):
        return None
    try:
        spec = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the second reading says what is wrong and where, or takes it as runtimes do
    annotated = [a for a in (spec.annotations, *(d.annotations for d in spec.devices)) if a]
    if any(is_long_key(key) for annotations in annotated for key in annotations):
        return None
    return None if has_repeated_keys(data, ENCODER.encode(spec)) else spec


def _read(data: bytes, source: str) -> Document:
    from pydra_cdi import _document  # noqa: PLC0415 - lazy: a program that sees only good JSON never loads PyYAML

    try:
        return _document.read_document(data)
    except UnreadableError as error:
        raise SpecError(source, [error.fault]) from error
    except MistypedError as error:
        raise SpecError(source, error.faults) from error


def encode_spec(spec: Spec) -> bytes:
    """Write a spec as one line of JSON; equal specs give equal bytes, and every CDI reader reads them alike.

    Raises:
        SpecError: A field holds something that is neither text nor number nor a part of a spec.
    """
    try:
        data = ENCODER.encode(spec)
    except (TypeError, ValueError) as error:
        raise SpecError(f"CDI spec {spec.kind}", type_faults(spec)) from error
    if not data.isascii() or b"\x7f" in data:
        data = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", data.decode()).encode()
    return data + b"\n"
