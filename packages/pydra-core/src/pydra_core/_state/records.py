"""The journal's records: one frozen value per thing that can happen to a claim, and their wire form."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from pydra_core._values import ClaimRef

FORMAT = 2
"""Version of the record format; a reader refuses newer ones and migrates older ones.

2 added the instance and boot ID of an intent, what a use consumes, of a prepared claim the boot ID and whether it
was adopted, and of both whether hardware is left as it is, and the extended resource. All of them may be missing, so records of 1 are read as they are, and the next rewrite makes the file one of 2.
"""


NO_SPEC = msgspec.Raw(b"null")


class DeviceUse(msgspec.Struct, frozen=True, omit_defaults=True):
    """One use of one device by one claim: what two claims must not overlap in."""

    pool: str
    device: str
    share_id: str = ""
    admin: bool = False
    consumed: dict[str, str] = {}
    """What a share takes of the device's capacities; the scheduler keeps the sum, `top` shows it."""


class DeviceAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the kubelet is told of one prepared device, and what the driver needs to undo it."""

    request: str
    pool: str
    device: str
    share_id: str = ""
    cdi_ids: tuple[str, ...] = ()
    state: dict[str, Any] = {}


class Intent(msgspec.Struct, frozen=True, tag="intent", tag_field="op", omit_defaults=True):
    """A driver is about to change hardware for these devices: to prepare them or, with `answers`, to undo it."""

    uid: str
    namespace: str
    name: str
    uses: tuple[DeviceUse, ...]
    answers: tuple[DeviceAnswer, ...] = ()
    """What was answered when the claim was prepared, or what its driver noted of it since it began; else empty."""
    spec: msgspec.Raw = NO_SPEC
    instance: int = 0
    """Which instance is at work on it, see `Instances`."""
    boot: str = ""
    as_is: bool = False
    """The driver changes no hardware for it, although it does for others: there is nothing to undo."""
    resource: str = ""
    """The extended resource of which `name` is a device ID that a pod got; then the API knows no such claim."""


class Prepared(msgspec.Struct, frozen=True, tag="prepared", tag_field="op", omit_defaults=True):
    """The claim is prepared: everything needed to repeat the answer, the spec file and the unprepare."""

    uid: str
    namespace: str
    name: str
    uses: tuple[DeviceUse, ...]
    answers: tuple[DeviceAnswer, ...]
    spec: msgspec.Raw = NO_SPEC
    """The spec file's content, `null` if no device needed edits."""
    boot: str = ""
    """The node's boot ID then: what a driver changed in hardware does not outlive it."""
    adopted: bool = False
    """Read back from its spec file: it holds its devices, but has to be prepared again to be answered."""
    as_is: bool = False
    """As `Intent.as_is`."""
    resource: str = ""
    """As `Intent.resource`."""
    given: int = 0
    """When a container got it last, of an extended resource: milliseconds since the boot (`boot`)."""


class Released(msgspec.Struct, frozen=True, tag="released", tag_field="op"):
    """Nothing of the claim is left: it was unprepared, or its intent was undone."""

    uid: str


Record: TypeAlias = Intent | Prepared | Released


def ref_of(record: Prepared | Intent) -> ClaimRef:
    """Which claim it is about."""
    return ClaimRef(
        uid=record.uid, namespace=record.namespace, name=record.name, resource=record.resource
    )


_DEEPEST = 100
"""Levels of a driver's state: what can be written must be read again, whatever calls the reader."""
encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Intent | Prepared | Released)


def check(record: Record) -> None:
    """Refuse what a driver may keep and a later start could not read. Raises `ValueError`."""
    for answer in () if isinstance(record, Released) else record.answers:
        if _is_deeper(answer.state, _DEEPEST):
            raise ValueError(f"state is nested more than {_DEEPEST} levels deep")


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return not levels or any(_is_deeper(each, levels - 1) for each in value.values())
    if isinstance(value, list | tuple):
        return not levels or any(_is_deeper(each, levels - 1) for each in value)
    return False


def decode(payload: bytes) -> Record:
    """Read one record. Raises `msgspec.DecodeError`, and `RecursionError` for what `check` refuses."""
    return _decoder.decode(payload)
