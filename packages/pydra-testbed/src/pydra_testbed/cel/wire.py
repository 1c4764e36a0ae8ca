"""The checked syntax tree as messages, so that Kubernetes' rules can be applied to it before it runs.

cel-expr-python hands out and takes back expressions only as serialized `cel.expr.CheckedExpr`, and ships no
classes for it. These are built here from field facts of the CEL specification, in a descriptor pool of
their own: nothing is added to the process-wide pool, where an application's own copy would collide.
Fields not named here survive a round trip as unknown fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "int64": _Field.TYPE_INT64,
    "uint64": _Field.TYPE_UINT64,
    "int32": _Field.TYPE_INT32,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
# Message: {field: (number, type)}; "*" marks a repeated field, "|" a member of the message's one oneof.
_SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "Expr": {
        "id": (2, "int64"),
        "const_expr": (3, "|Constant"),
        "ident_expr": (4, "|Ident"),
        "select_expr": (5, "|Select"),
        "call_expr": (6, "|Call"),
        "list_expr": (7, "|CreateList"),
        "struct_expr": (8, "|CreateStruct"),
        "comprehension_expr": (9, "|Comprehension"),
    },
    "Ident": {"name": (1, "string")},
    "Select": {"operand": (1, "Expr"), "field": (2, "string"), "test_only": (3, "bool")},
    "Call": {"target": (1, "Expr"), "function": (2, "string"), "args": (3, "*Expr")},
    "CreateList": {"elements": (1, "*Expr"), "optional_indices": (2, "*int32")},
    "CreateStruct": {"message_name": (1, "string"), "entries": (2, "*Entry")},
    "Entry": {
        "id": (1, "int64"),
        "field_key": (2, "|string"),
        "map_key": (3, "|Expr"),
        "value": (4, "Expr"),
        "optional_entry": (5, "bool"),
    },
    "Comprehension": {
        "iter_var": (1, "string"),
        "iter_range": (2, "Expr"),
        "accu_var": (3, "string"),
        "accu_init": (4, "Expr"),
        "loop_condition": (5, "Expr"),
        "loop_step": (6, "Expr"),
        "result": (7, "Expr"),
        "iter_var2": (8, "string"),
    },
    "Constant": {
        "null_value": (1, "|int32"),
        "bool_value": (2, "|bool"),
        "int64_value": (3, "|int64"),
        "uint64_value": (4, "|uint64"),
        "double_value": (5, "|double"),
        "string_value": (6, "|string"),
        "bytes_value": (7, "|bytes"),
    },
    "Type": {
        "dyn": (1, "|Empty"),
        "null": (2, "|int32"),
        "primitive": (3, "|int32"),
        "wrapper": (4, "|int32"),
        "well_known": (5, "|int32"),
        "list_type": (6, "|ListType"),
        "map_type": (7, "|MapType"),
        "message_type": (9, "|string"),
        "type_param": (10, "|string"),
        "type": (11, "|Type"),
        "abstract_type": (14, "|AbstractType"),
    },
    "Empty": {},
    "ListType": {"elem_type": (1, "Type")},
    "MapType": {"key_type": (1, "Type"), "value_type": (2, "Type")},
    "AbstractType": {"name": (1, "string"), "parameter_types": (2, "*Type")},
    "Reference": {"name": (1, "string"), "overload_id": (3, "*string")},
    "ReferenceEntry": {"key": (1, "int64"), "value": (2, "Reference")},
    "TypeEntry": {"key": (1, "int64"), "value": (2, "Type")},
    "SourceInfo": {"line_offsets": (3, "*int32"), "positions": (4, "*PositionEntry")},
    "PositionEntry": {"key": (1, "int64"), "value": (2, "int32")},
    "CheckedExpr": {
        "reference_map": (2, "*ReferenceEntry"),
        "type_map": (3, "*TypeEntry"),
        "expr": (4, "Expr"),
        "source_info": (5, "SourceInfo"),
    },
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
}


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="pydra/cel_expr.proto", package="cel.expr", syntax="proto3"
    )
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        if any(kind.startswith("|") for _, kind in fields.values()):
            message.oneof_decl.add(name="kind")
        for field_name, (number, kind) in fields.items():
            _add_field(message, field_name, number, kind)
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str) -> None:
    plain = kind.lstrip("*|")
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
    if kind.startswith("|"):
        field.oneof_index = 0
    if plain in _SCALARS:
        field.type = _SCALARS[plain]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".cel.expr.{plain}"


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_describe())


def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"cel.expr.{name}"))


_CHECKED = _message_class("CheckedExpr")
_ANY = _message_class("Any")
_EXPR = _message_class("Expr")


class Tree:
    """A checked expression: `root` (an Expr message), static types and resolved names by node id.

    `attributes_are_dyn`: with the gate for list attributes, `dyn` is the type of a device's attributes.
    """

    def __init__(self, serialized: bytes) -> None:
        self.attributes_are_dyn = False
        self._any: Any = _ANY.FromString(serialized)
        self._checked: Any = _CHECKED.FromString(self._any.value)
        self.types: dict[int, Any] = {e.key: e.value for e in self._checked.type_map}
        self._references: dict[int, Any] = {e.key: e.value for e in self._checked.reference_map}
        self._last_id = max(self.types, default=0)

    @property
    def root(self) -> Any:
        return self._checked.expr

    def type_of(self, node: Any) -> Any:
        """The static type of a node; an absent entry reads as an unset Type."""
        return self.types.get(node.id)

    def overloads(self, node: Any) -> list[str]:
        """The overloads a call may mean, by the types that are known."""
        reference = self._references.get(node.id)
        return [] if reference is None else list(reference.overload_id)

    def location(self, node: Any) -> tuple[int, int]:
        """Line and column, both counted from 1."""
        positions = {e.key: e.value for e in self._checked.source_info.positions}
        offset, line, start = positions.get(node.id, 0), 1, 0
        for line_end in self._checked.source_info.line_offsets:
            if line_end > offset:
                break
            line, start = line + 1, line_end
        return line, offset - start + 1

    def fresh_id(self) -> int:
        """A node id that is not in use."""
        self._last_id += 1
        return self._last_id

    def serialize(self, root: Any = None) -> bytes:
        """The expression, or only the part below `root`, as cel-expr-python reads it back."""
        checked = self._checked
        if root is not None:
            checked = _CHECKED.FromString(checked.SerializeToString())
            checked.expr.CopyFrom(root)
        return bytes(
            _ANY(type_url=self._any.type_url, value=checked.SerializeToString()).SerializeToString()
        )


def new_node() -> Any:
    """An empty Expr."""
    return _EXPR()


def children(node: Any) -> Iterator[Any]:
    """The direct sub-expressions of a node."""
    kind = node.WhichOneof("kind")
    if kind == "select_expr":
        yield node.select_expr.operand
    elif kind == "call_expr":
        if node.call_expr.HasField("target"):
            yield node.call_expr.target
        yield from node.call_expr.args
    elif kind == "list_expr":
        yield from node.list_expr.elements
    elif kind == "struct_expr":
        for entry in node.struct_expr.entries:
            if entry.HasField("map_key"):
                yield entry.map_key
            yield entry.value
    elif kind == "comprehension_expr":
        loop = node.comprehension_expr
        yield from (
            loop.iter_range,
            loop.accu_init,
            loop.loop_condition,
            loop.loop_step,
            loop.result,
        )
