"""The model as a JSON Schema (draft 2020-12): for editors and for checkers that are not written in Python.

It says what a schema can: fields and their types, the patterns of names and variables, and that a device must
edit something. It cannot say that names differ from each other, nor that a version is high enough for the features.
Rests on the CDI specification, as `validation` applies it; descriptions are for people who write spec files.
"""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from pydra_cdi._edits_rules import HOOK_NAMES, NODE_TYPES
from pydra_cdi._types import type_of_spec
from pydra_cdi.versions import FLOOR, KNOWN_VERSIONS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_END = r"$(?!\n)"  # Python's own engine lets `$` match before a last line break
_NAME = r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_DEVICE = r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?"
_CLOS_ID = r"(?:/|(?!\.{1,2}$)[^/\n]*)"
_VERSIONS = KNOWN_VERSIONS[KNOWN_VERSIONS.index(FLOOR) :]
_WITH_VARIABLES = ("ContainerEdits", "Hook")
_VARIABLES = {"pattern": "^[^=]+="}
_NOT_EMPTY = {"minLength": 1}
_LISTS = ("env", "deviceNodes", "netDevices", "hooks", "mounts", "additionalGids")

# What the types of the model do not say: rules, then words, by object and field.
_RULES: dict[str, dict[str, dict[str, Any]]] = {
    "Spec": {
        "cdiVersion": {"enum": [*_VERSIONS, *(f"v{version}" for version in _VERSIONS)]},
        "kind": {"pattern": f"^{_NAME}/{_NAME}{_END}"},
        "devices": {"minItems": 1},
    },
    "Device": {"name": {"pattern": f"^{_DEVICE}{_END}"}},
    "DeviceNode": {
        "path": _NOT_EMPTY,
        "type": {"enum": sorted(NODE_TYPES)},
        "permissions": {"pattern": f"^(?:none|[rwm]*){_END}"},
    },
    "NetDevice": {"hostInterfaceName": _NOT_EMPTY, "name": _NOT_EMPTY},
    "Hook": {"hookName": {"enum": list(HOOK_NAMES)}, "path": _NOT_EMPTY},
    "Mount": {"hostPath": _NOT_EMPTY, "containerPath": _NOT_EMPTY},
    "IntelRdt": {"closID": {"pattern": f"^{_CLOS_ID}{_END}", "maxLength": 4095}},
}
_WORDS: dict[str, dict[str, str]] = {
    "Spec": {
        "cdiVersion": "Version of the specification; the lowest that has all features used is read by most runtimes.",
        "kind": "Vendor and class of the devices, like acme.example/card.",
        "devices": "The devices, each by a name of its own.",
        "containerEdits": "Edits that come along with any device of this file.",
        "annotations": "Free notes, by the rules for Kubernetes annotations (from 0.6.0).",
    },
    "Device": {
        "name": "Name within the kind; one that begins with a digit needs 0.5.0.",
        "containerEdits": "What the device changes in a container; at least one edit.",
        "annotations": "Free notes about the device (from 0.6.0).",
    },
    "ContainerEdits": {
        "env": "Environment variables, NAME=value.",
        "deviceNodes": "Device nodes to create.",
        "netDevices": "Host network interfaces to move into the container (from 1.1.0).",
        "hooks": "Programs to run at stages of the container's life.",
        "mounts": "Mounts to make.",
        "intelRdt": "Intel resource director settings (from 0.7.0).",
        "additionalGids": "Supplementary groups of the process; 0 is skipped (from 0.7.0).",
    },
    "DeviceNode": {
        "path": "Path in the container.",
        "hostPath": "Path on the host where it differs (from 0.5.0).",
        "type": "b block, c or u character, p fifo; empty: as on the host.",
        "major": "Major number; 0: both numbers as on the host.",
        "minor": "Minor number.",
        "fileMode": "Permission bits as a decimal number: 432 is 0660; left out: as on the host.",
        "permissions": "Cgroup access: a set of r, w and m, or the word none; empty: rwm.",
        "uid": "Owner; left out: user of the process.",
        "gid": "Group; left out: group of the process.",
    },
    "NetDevice": {
        "hostInterfaceName": "Name of the interface on the host.",
        "name": "Its name in the container.",
    },
    "Hook": {
        "hookName": "Stage of the container's life to run at.",
        "path": "Absolute path of the program on the host.",
        "args": "Arguments; the first is the program's own name.",
        "env": "Environment of the program, NAME=value.",
        "timeout": "Seconds until the runtime gives up.",
    },
    "Mount": {
        "hostPath": "What to mount.",
        "containerPath": "Where to mount it in the container.",
        "options": "Options; bind or rbind for a path of the host.",
        "type": "File system; empty with bind or rbind (from 0.4.0).",
    },
    "IntelRdt": {
        "closID": "Class of service: one directory name, or / for the root class.",
        "l3CacheSchema": "Schema of the L3 cache.",
        "memBwSchema": "Schema of the memory bandwidth.",
        "schemata": "Lines for the schemata file (from 1.1.0, even when empty).",
        "enableMonitoring": "Make a monitoring group for the container (from 1.1.0).",
    },
}


def json_schema() -> dict[str, Any]:
    """Give the schema of a spec file as a new tree of plain data, ready for `json.dumps`."""
    definitions: dict[str, Any] = {}
    reference = _schema(type_of_spec(), definitions)
    definitions["Device"]["properties"]["containerEdits"]["anyOf"] = _edits_something()
    return {"$schema": DIALECT, "title": "CDI spec file", **reference, "$defs": definitions}


def _schema(kind: inspect.Type, definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(
        kind, inspect.UnionType
    ):  # a field that may be left out; null is for Go writers only
        kind = kind.types[0]
    match kind:
        case inspect.StructType(cls=cls):
            if cls.__name__ not in definitions:
                definitions[cls.__name__] = _object(kind, definitions)
            return {"$ref": f"#/$defs/{cls.__name__}"}
        case inspect.CollectionType(item_type=item):
            return {"type": "array", "items": _schema(item, definitions)}
        case inspect.DictType():
            return {"type": "object", "additionalProperties": {"type": "string"}}
        case inspect.IntType(ge=low, le=high):
            return {"type": "integer", "minimum": low, "maximum": high}
        case inspect.BoolType():
            return {"type": "boolean"}
        case _:
            return {"type": "string"}


def _object(kind: inspect.StructType, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.cls.__name__
    fields = {field.encode_name: _schema(field.type, definitions) for field in kind.fields}
    for field, words in _WORDS[name].items():
        fields[field] |= {"description": words, **_RULES.get(name, {}).get(field, {})}
    if name in _WITH_VARIABLES:
        fields["env"]["items"] |= _VARIABLES
    return {
        "type": "object",
        "properties": fields,
        "required": [field.encode_name for field in kind.fields if field.required],
        "additionalProperties": False,
    }


def _edits_something() -> list[dict[str, Any]]:
    lists = [{"required": [name], "properties": {name: {"minItems": 1}}} for name in _LISTS]
    return [*lists, {"required": ["intelRdt"], "properties": {"intelRdt": {"type": "object"}}}]
