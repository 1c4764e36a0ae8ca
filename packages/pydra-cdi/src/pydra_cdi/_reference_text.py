"""A spec as text exactly as the reference library writes it, so that either may rewrite the other's files.

`SpecDirectory.write_named` is the only caller. JSON is one line without a line break at its end, YAML begins
with `---` and is indented by four.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pydra_cdi.codec import encode_spec
from pydra_cdi.model import Spec

# Go's encoder escapes the first three for browsers; the others a YAML 1.1 parser refuses or folds.
_ESCAPED = re.compile("[<>&\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def reference_json(spec: Spec) -> bytes:
    """Encode as JSON; the edits of the spec as a whole are always there, as Go leaves an empty object in.

    Raises:
        SpecError: A field holds something that has no place in a spec.
    """
    document = _document(spec)
    text = msgspec.json.encode({**document, "containerEdits": document.get("containerEdits", {})})
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text.decode()).encode()


def reference_yaml(spec: Spec) -> bytes:
    """Encode as YAML, which every reader takes for the same values as the JSON.

    Raises:
        SpecError: A field holds something that has no place in a spec.
    """
    from pydra_cdi._yaml_text import write_yaml  # noqa: PLC0415 - lazy: programs that write only JSON never load PyYAML

    return write_yaml(_document(spec)).encode()


def _document(spec: Spec) -> dict[str, Any]:
    """Plain data with its fields in the library's order: annotations before what they are about."""
    fields = msgspec.json.decode(encode_spec(spec))
    fields["devices"] = [_annotations_second(device, "name") for device in fields["devices"]]
    return _annotations_second(fields, "cdiVersion", "kind")


def _annotations_second(fields: dict[str, Any], *first: str) -> dict[str, Any]:
    order = [*first, "annotations", "devices", "containerEdits"]
    return {name: fields[name] for name in order if name in fields}
