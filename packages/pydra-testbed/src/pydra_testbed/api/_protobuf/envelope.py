"""A protobuf body taken out of its envelope (four letters and a `runtime.Unknown`) and turned into JSON."""

from __future__ import annotations

import msgspec

from pydra_testbed.api._problems import bad_request, unsupported_media
from pydra_testbed.api._protobuf.messages import MESSAGES
from pydra_testbed.api._protobuf.wire import WireError, decode, fields

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_TYPE, _RAW = 1, 2


def as_json(body: bytes) -> bytes:
    """The same object in JSON.

    Raises:
        ApiStatusError: 400 it is damaged or has a field that is not read, 415 a kind that is not read.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("the object provided is unrecognized (must start with k8s\\0)")
    try:
        unknown = _parts(body[len(_MAGIC) :])
        meta = _parts(unknown.get(_TYPE, b""))
        api_version, kind = meta.get(1, b"").decode(), meta.get(2, b"").decode()
        if kind not in MESSAGES:
            raise unsupported_media(f"{MEDIA} of {kind or 'nothing'}", ["application/json"])
        obj = decode(unknown.get(_RAW, b""), kind)
    except (WireError, UnicodeDecodeError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from None
    return msgspec.json.encode({"apiVersion": api_version, "kind": kind} | obj)


def _parts(data: bytes) -> dict[int, bytes]:
    return {number: raw for number, raw in fields(data) if isinstance(raw, bytes)}
