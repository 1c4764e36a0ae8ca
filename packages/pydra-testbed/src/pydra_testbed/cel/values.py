"""How Kubernetes' own types travel through the evaluator: as protobuf messages of a private pool.

Found by experiment with cel-expr-python 0.1.3, which converts only plain values and messages. An abstract
type type-checks but has no run-time value; a plain string would let `version == "1.2.3"` succeed, which
Kubernetes refuses. A message keeps its name through `type()` and in checker errors (`kubernetes.Quantity`),
equals only its own kind, and costs about 2 µs for each argument of a function written in Python.

Equality is by field. A semver therefore leaves its build metadata behind; two spellings of one quantity
(`1.5Gi`, `1536Mi`) can differ in how Go stores them, so `==` on quantities is redirected
to a function (`pydra_testbed.cel.rewrite`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from pydra_core.quantity import Quantity
from pydra_testbed.cel.semver import Semver, parse_semver

_Field = descriptor_pb2.FieldDescriptorProto
_STANDARD = (any_pb2, struct_pb2, wrappers_pb2, timestamp_pb2, duration_pb2)


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = _file("kubernetes", struct_pb2.DESCRIPTOR.name)
    quantity = file.message_type.add(name="Quantity")
    _add(quantity, "nano", 1, _Field.TYPE_STRING)
    _add(quantity, "scale", 2, _Field.TYPE_INT32)
    _add(quantity, "big", 3, _Field.TYPE_BOOL)
    device = file.message_type.add(name="DRADevice")
    _add(device, "driver", 1, _Field.TYPE_STRING)
    _add(device, "allowMultipleAllocations", 2, _Field.TYPE_BOOL)
    _add_domains(device, "attributes", 3)
    _add_domains(device, "capacity", 4)
    _add_texts(file, "Semver", "URL", "NamedFormat", "Nothing")
    return file


def _describe_network() -> descriptor_pb2.FileDescriptorProto:
    file = _file("net")
    _add_texts(file, "IP", "CIDR")
    return file


def _file(package: str, *imports: str) -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto(
        name=f"pydra/{package}_cel.proto", package=package, syntax="proto3", dependency=imports
    )


def _add_texts(file: descriptor_pb2.FileDescriptorProto, *names: str) -> None:
    """Types that are a text in canonical form."""
    for name in names:
        _add(file.message_type.add(name=name), "text", 1, _Field.TYPE_STRING)


def _add(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: _Field.Type.ValueType
) -> _Field:
    return message.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)


def _add_domains(device: descriptor_pb2.DescriptorProto, name: str, number: int) -> None:
    """A map field; its type only matters where the whole device is passed on, as in `cel.bind`."""
    entry = device.nested_type.add(name=f"{name.capitalize()}Entry")
    entry.options.map_entry = True
    _add(entry, "key", 1, _Field.TYPE_STRING)
    _add(entry, "value", 2, _Field.TYPE_MESSAGE).type_name = ".google.protobuf.Struct"
    field = _add(device, name, number, _Field.TYPE_MESSAGE)
    field.label = _Field.LABEL_REPEATED
    field.type_name = f".kubernetes.DRADevice.{entry.name}"


POOL = descriptor_pool.DescriptorPool()
for _module in _STANDARD:
    POOL.AddSerializedFile(_module.DESCRIPTOR.serialized_pb)
POOL.Add(_describe())
POOL.Add(_describe_network())


def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


QuantityMessage = _message_class("kubernetes.Quantity")
SemverMessage = _message_class("kubernetes.Semver")
DeviceMessage = _message_class("kubernetes.DRADevice")
UrlMessage = _message_class("kubernetes.URL")
FormatMessage = _message_class("kubernetes.NamedFormat")
IpMessage = _message_class("net.IP")
CidrMessage = _message_class("net.CIDR")


def quantity_message(quantity: Quantity) -> Any:
    """The form a quantity has inside the evaluator."""
    return QuantityMessage(
        nano=str(quantity.nano), scale=quantity.scale or 0, big=quantity.scale is None
    )


@lru_cache(maxsize=1024)
def _quantity(nano: str, scale: int, big: bool) -> Quantity:  # noqa: FBT001 -- a message's fields
    return Quantity(int(nano), scale=None if big else scale)


def to_quantity(message: Any) -> Quantity:
    """Back from the evaluator.

    Raises:
        TypeError: the value is of another type; CEL then reports "no such overload".
    """
    if isinstance(message, QuantityMessage):
        return _quantity(message.nano, message.scale, message.big)
    raise TypeError("no such overload")


def semver_message(version: Semver) -> Any:
    """The form a version has inside the evaluator; build metadata stays behind."""
    return SemverMessage(text=version.without_build())


def to_semver(message: Any) -> Semver:
    """Back from the evaluator.

    Raises:
        TypeError: the value is of another type; CEL then reports "no such overload".
    """
    if isinstance(message, SemverMessage):
        return parse_semver(message.text)
    raise TypeError("no such overload")
