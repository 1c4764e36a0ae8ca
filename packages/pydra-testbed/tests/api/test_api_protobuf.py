"""Protobuf bodies, built here field by field as the wire format has them."""

from __future__ import annotations

import pytest

PROTOBUF = "application/vnd.kubernetes.protobuf"


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    found = b""
    for number, value in fields:
        if isinstance(value, int):
            found += varint(number << 3) + varint(value % (1 << 64))
        else:
            data = value.encode() if isinstance(value, str) else value
            found += varint(number << 3 | 2) + varint(len(data)) + data
    return found


def enveloped(api_version: str, kind: str, raw: bytes) -> bytes:
    meta = message((1, api_version), (2, kind))
    return b"k8s\0" + message((1, meta), (2, raw), (3, ""), (4, ""))


def meta(name: str) -> bytes:
    return message((1, name), (2, ""), (7, 0), (8, b""), (11, message((1, "a"), (2, "b"))))


async def test_built_in_kinds_are_read_and_answered_in_json(kube):
    data = message((1, "key"), (2, b"\0\xff"))
    secret = message((1, meta("s")), (2, data), (3, "Opaque"))
    made = await kube.ok(
        "POST",
        "/api/v1/namespaces/default/secrets",
        enveloped("v1", "Secret", secret),
        media=PROTOBUF,
    )
    assert (made["data"], made["metadata"]["labels"]) == ({"key": "AP8="}, {"a": "b"})


async def test_numbers_lists_and_amounts_are_read(kube):
    limits = message((1, "cpu"), (2, message((1, "500m"))))
    container = message((1, "c"), (2, "i"), (3, "sh"), (3, "-c"), (8, message((1, limits))))
    template = message((1, meta("")), (2, message((2, container))))
    selector = message((1, message((1, "a"), (2, "b"))))
    spec = message((1, 0), (2, selector), (3, template), (6, 3))
    body = enveloped("apps/v1", "Deployment", message((1, meta("d")), (2, spec)))
    path = "/apis/apps/v1/namespaces/default/deployments"
    made = (await kube.ok("POST", path, body, media=PROTOBUF))["spec"]
    assert (made["replicas"], made["revisionHistoryLimit"]) == (0, 3)
    (found,) = made["template"]["spec"]["containers"]
    assert (found["command"], found["resources"]["limits"]) == (["sh", "-c"], {"cpu": "500m"})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no envelope", 400),
        (enveloped("v1", "Endpoints", b""), 415),
        (enveloped("v1", "Secret", b"\x0a\x7f"), 400),
        (enveloped("v1", "Secret", b"\xff" * 12), 400),
        (enveloped("v1", "Secret", b"\x0b"), 400),
        (enveloped("v1", "Secret", message((1, message((99, "new"))))), 400),
        (enveloped("v1", "Secret", message((1, 5))), 400),
        (enveloped("v1", "Secret", message((5, "yes"))), 400),
        (enveloped("v1", "Secret", message((3, b"\xff"))), 400),
    ],
)
async def test_what_cannot_be_read_is_refused_whole(kube, body, code):
    path = "/api/v1/namespaces/default/secrets"
    assert (await kube.call("POST", path, body, media=PROTOBUF)).status == code
    assert (await kube.ok("GET", path))["items"] == []
