"""Specs are frozen values that encode to the same bytes each time and survive every reader."""

import json
import string

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
from pydra_cdi.codec import parse_spec

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
def test_a_yaml_parser_reads_what_we_write_like_a_json_parser(spec):
    data = encode_spec(spec)

    assert parse_yaml(data.decode()) == json.loads(data)


@settings(deadline=None)
@given(
    st.binary(max_size=200) | st.text(string.punctuation + " \n\tab10", max_size=60).map(str.encode)
)
def test_no_input_raises_anything_but_a_spec_error(data):
    with pytest.raises(SpecError):
        decode_spec(data)


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


def test_a_spec_built_in_python_with_wrong_types_is_told_where():
    node = msgspec.structs.replace(DeviceNode("/dev/x"), major="195", host_path=None)
    spec = Spec("0.5.0", "v/c", [Device("a", ContainerEdits(device_nodes=[node]))])

    found = {fault.path: fault.message for fault in find_faults(spec, strict=True)}

    assert found == {
        "devices[0].containerEdits.deviceNodes[0].major": "it is the string '195' where an integer belongs",
        "devices[0].containerEdits.deviceNodes[0].hostPath": "it is null where a string belongs",
    }
