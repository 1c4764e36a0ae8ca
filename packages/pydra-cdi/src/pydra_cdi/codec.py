"""Spec files' bytes to specs and back; the one place where a spec's text is read or written.

Drivers encode through `SpecDirectory`, runtimes decode through `read_spec` and `Registry`.
"""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec

from pydra_cdi._shape import reshape, type_faults
from pydra_cdi._text import parse
from pydra_cdi.accidents import Reading
from pydra_cdi.errors import SpecError, UnreadableError
from pydra_cdi.model import ENCODER, Spec
from pydra_cdi.validation import find_faults

# A YAML 1.1 parser refuses these or takes them for blanks and line breaks when they stand in JSON text as they are.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def decode_spec(data: bytes, *, source: str = "the CDI spec") -> Spec:
    """Read a spec from JSON or YAML and validate it.

    Args:
        data: The whole file.
        source: What error messages call it.

    Raises:
        SpecError: It cannot be read or breaks rules; carries every fault found.
    """
    spec = parse_spec(data, source=source)
    if faults := find_faults(spec):
        raise SpecError(source, faults)
    return spec


def read_text(data: bytes, *, source: str = "the CDI spec") -> Reading:
    """Read a spec as runtimes do and tell where that is not what is written; does not validate it.

    Raises:
        SpecError: Runtimes cannot read it either: it is no document, or a field is unknown or of the wrong type.
    """
    return Reading(parse_spec(data, source=source))


def parse_spec(data: bytes, *, source: str = "the CDI spec") -> Spec:
    """Read a spec without asking whether it is valid beyond the types of its fields.

    Raises:
        SpecError: It is no document, or fields are unknown, missing or of the wrong type.
    """
    try:
        tree = parse(data)
    except UnreadableError as error:
        raise SpecError(source, [error.fault]) from error
    with suppress(msgspec.ValidationError):  # `reshape` finds all faults and mends what is harmless
        return msgspec.convert(tree, Spec)
    plain, faults = reshape(tree)
    if faults:
        raise SpecError(source, faults)
    return msgspec.convert(plain, Spec)


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
