"""Specs are frozen values that encode to the same bytes each time and survive every reader."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydra_cdi import (
    ContainerEdits,
    Device,
    DeviceNode,
    Hook,
    IntelRdt,
    Mount,
    NetDevice,
    Spec,
    SpecError,
    decode_spec,
    encode_spec,
    find_faults,
)
from pydra_cdi._yaml import parse_yaml
from pydra_cdi.accidents import Reading
from pydra_cdi.codec import parse_spec, read_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TEXTS = st.lists(TEXT, max_size=3)
UINT32 = st.none() | st.integers(0, 2**32 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
EDITS = st.builds(
    ContainerEdits,
    env=TEXTS,
    device_nodes=st.lists(
        st.builds(DeviceNode, TEXT, TEXT, TEXT, INT64, INT64, UINT32, TEXT, UINT32, UINT32),
        max_size=2,
    ),
    net_devices=st.lists(st.builds(NetDevice, TEXT, TEXT), max_size=2),
    hooks=st.lists(st.builds(Hook, TEXT, TEXT, TEXTS, TEXTS, st.none() | INT64), max_size=2),
    mounts=st.lists(st.builds(Mount, TEXT, TEXT, TEXTS, TEXT), max_size=2),
    intel_rdt=st.none()
    | st.builds(
        IntelRdt, TEXT, TEXT, TEXT, schemata=st.none() | TEXTS, enable_monitoring=st.booleans()
    ),
    additional_gids=st.lists(st.integers(0, 2**32 - 1), max_size=3),
)
ANNOTATIONS = st.dictionaries(TEXT, TEXT, max_size=3)
SPECS = st.builds(
    Spec,
    TEXT,
    TEXT,
    st.lists(st.builds(Device, TEXT, EDITS, ANNOTATIONS), max_size=3),
    EDITS,
    ANNOTATIONS,
)


@settings(deadline=None)
@given(SPECS)
def test_any_spec_survives_encoding_and_decoding(spec):
    data = encode_spec(spec)

    assert parse_spec(data) == spec
    assert encode_spec(parse_spec(data)) == data


@settings(deadline=None)
@given(SPECS)
def test_a_yaml_parser_reads_what_we_write_as_it_is_written(spec):
    in_yaml = read_text(b"--- " + encode_spec(spec))  # no JSON any more, so read as runtimes do

    assert in_yaml == Reading(spec)
    assert parse_yaml(encode_spec(spec)) == json.loads(encode_spec(spec))


@pytest.mark.parametrize(
    "character", ["\x7f", "\x85", "\u2028", "\ufeff", "\uffff", "é", "\U0001f600", "\0", "/"]
)
def test_characters_that_yaml_parsers_take_otherwise_are_escaped(character):
    spec = Spec("0.6.0", "v/c", [Device("a", ContainerEdits(env=[f"A={character}"]))])

    assert decode_spec(encode_spec(spec)) == spec
    assert read_text(encode_spec(spec)).accidents == ()


def test_lists_and_tuples_are_both_taken_and_kept_as_tuples():
    edits = ContainerEdits(env=["A=b"], device_nodes=(DeviceNode("/dev/x"),))

    assert edits.env == ("A=b",)
    assert edits == ContainerEdits(env=("A=b",), device_nodes=[DeviceNode("/dev/x")])
    assert hash(edits) == hash(ContainerEdits(env=["A=b"], device_nodes=[DeviceNode("/dev/x")]))


def test_a_text_where_a_list_belongs_is_refused_at_once():
    with pytest.raises(TypeError, match="env takes a sequence"):
        ContainerEdits(env="A=b")


def test_nothing_of_a_spec_can_be_changed():
    given_annotations = {"b": "1"}
    device = Device("a", ContainerEdits(env=["A=b"]), given_annotations)
    given_annotations["c"] = "2"

    assert device.annotations == {"b": "1"}
    with pytest.raises(TypeError):
        device.annotations["d"] = "3"
    with pytest.raises(AttributeError):
        device.name = "b"


def test_order_of_annotations_does_not_change_the_bytes():
    devices = [Device("a", ContainerEdits(env=["A=b"]))]
    one = Spec("0.6.0", "v/c", devices, annotations={"a": "1", "b": "2"})
    other = Spec("0.6.0", "v/c", devices, annotations={"b": "2", "a": "1"})

    assert encode_spec(one) == encode_spec(other)


def test_zero_values_are_left_out_and_presence_is_kept_where_it_counts():
    node = DeviceNode("/dev/x", major=0, uid=0, file_mode=0, permissions="")
    edits = ContainerEdits(
        device_nodes=[node], intel_rdt=IntelRdt(), hooks=[Hook("prestart", "/h", timeout=0)]
    )
    spec = Spec("0.7.0", "v/c", [Device("a", edits)], container_edits=ContainerEdits())

    assert json.loads(encode_spec(spec)) == {
        "cdiVersion": "0.7.0",
        "kind": "v/c",
        "devices": [
            {
                "name": "a",
                "containerEdits": {
                    "deviceNodes": [{"path": "/dev/x", "fileMode": 0, "uid": 0}],
                    "hooks": [{"hookName": "prestart", "path": "/h", "timeout": 0}],
                    "intelRdt": {},
                },
            }
        ],
    }


def test_adding_edits_appends_and_the_later_rdt_wins():
    first = ContainerEdits(env=["A=1"], intel_rdt=IntelRdt(clos_id="a", mem_bw_schema="MB"))
    second = ContainerEdits(
        env=["B=2"], mounts=[Mount("/h", "/c")], intel_rdt=IntelRdt(clos_id="b")
    )

    assert first + second == ContainerEdits(
        env=["A=1", "B=2"], mounts=[Mount("/h", "/c")], intel_rdt=IntelRdt(clos_id="b")
    )
    assert first + ContainerEdits() == first
    assert not ContainerEdits()
    assert ContainerEdits(intel_rdt=IntelRdt())


WRONG = {
    "major": (
        DeviceNode("/dev/x"),
        "195",
        "deviceNodes[0].major",
        "the string '195' where an integer",
    ),
    "minor": (DeviceNode("/dev/x"), 2**70, "deviceNodes[0].minor", "1.18059e+21 is out of range"),
    "uid": (DeviceNode("/dev/x"), True, "deviceNodes[0].uid", "the bool True where an integer"),
    "host_path": (DeviceNode("/dev/x"), None, "deviceNodes[0].hostPath", "null where a string"),
    "path": (DeviceNode("/dev/x"), {1: 2}, "deviceNodes[0].path", "an object where a string"),
    "type": (DeviceNode("/dev/x"), ("c",), "deviceNodes[0].type", "a list where a string"),
    "permissions": (
        DeviceNode("/dev/x"),
        object(),
        "deviceNodes[0].permissions",
        "a Python object where",
    ),
    "options": (Mount("/h", "/c"), ("ro", 5), "mounts[0].options[1]", "the int 5 where a string"),
    "container_path": (
        Mount("/h", "/c"),
        "\ud800",
        "mounts[0].containerPath",
        "holds half a character",
    ),
    "env": (Hook("prestart", "/h"), "A=b", "hooks[0].env", "the string 'A=b' where a list"),
    "timeout": (Hook("prestart", "/h"), 1.5, "hooks[0].timeout", "the float 1.5 where an integer"),
    "enable_monitoring": (
        IntelRdt(),
        1,
        "intelRdt.enableMonitoring",
        "the int 1 where true or false",
    ),
}
PLACES = {DeviceNode: "device_nodes", Mount: "mounts", Hook: "hooks", IntelRdt: "intel_rdt"}


@pytest.mark.parametrize("field", WRONG)
def test_a_spec_built_in_python_with_wrong_types_is_told_where(field):
    part, value, path, words = WRONG[field]
    part = msgspec.structs.replace(part)
    msgspec.structs.force_setattr(part, field, value)
    place = PLACES[type(part)]
    edits = ContainerEdits(**{place: part if place == "intel_rdt" else [part]})

    (fault,) = find_faults(Spec("0.7.0", "v/c", [Device("a", edits)]), strict=True)

    assert fault.path == f"devices[0].containerEdits.{path}"
    assert words in fault.message


def test_parts_of_a_spec_that_are_something_else_are_told():
    spec = Spec("0.6.0", "v/c", [{"name": "a"}, Device("b", ContainerEdits(env=["A=b"]), {"k": 1})])
    msgspec.structs.force_setattr(spec, "annotations", [])

    assert {fault.path: fault.message for fault in find_faults(spec, strict=True)} == {
        "devices[0]": "it is an object where an object (Device) belongs",
        "devices[1].annotations['k']": "it is the int 1 where a string belongs",
        "annotations": "it is a list where an object of strings belongs",
    }
    with pytest.raises(SpecError, match="kind: it is a Python object where a string belongs"):
        encode_spec(Spec("0.6.0", object(), spec.devices[1:]))


def test_a_wrong_field_among_right_ones_is_told_alone():
    node = DeviceNode("/dev/x", host_path="/dev/y", major=5, uid=7, file_mode=0o600)
    edits = ContainerEdits(
        device_nodes=[node], intel_rdt=IntelRdt(schemata=["MB"], enable_monitoring=True)
    )
    spec = Spec("0.7.0", "v/c", [Device("a", edits, {"k": "v"}), Device(5, edits)])

    assert [fault.path for fault in find_faults(spec, strict=True)] == ["devices[1].name"]
