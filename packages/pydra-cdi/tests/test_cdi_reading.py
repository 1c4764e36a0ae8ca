"""Files are read as runtimes read them, and each place where that is not what is written is told as an accident."""

import json

import msgspec
import pytest

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
)
from pydra_cdi._members import fold
from pydra_cdi._scalars import key_text, number_text, resolve
from pydra_cdi.codec import read_text

PARTS = (Spec, Device, ContainerEdits, DeviceNode, NetDevice, Hook, Mount, IntelRdt)
HEAD = "cdiVersion: 0.7.0\nkind: v/c\ndevices:\n- name: a\n  containerEdits:\n"
JSON = '{"cdiVersion": "0.7.0", "kind": "v/c", "devices": [{"name": "a", "containerEdits": {"env": ["A=b"]}}]}'


def accidents(text):
    data = text if isinstance(text, bytes) else text.encode()
    return [(a.path, a.line, a.column, a.written, a.read_as) for a in read_text(data).accidents]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: 010", ("kind", 1, 7, "010", "8")),
        ("kind: yes", ("kind", 1, 7, "yes", "true")),
        ("kind: !!float 1", ("kind", 1, 7, "1", "1")),
        ("KIND: v/c", ("kind", 1, 1, "KIND", "kind")),
        ("\N{KELVIN SIGN}ind: v/c", ("kind", 1, 1, "\N{KELVIN SIGN}ind", "kind")),
        ("kind: !foo v/c", ("kind", 1, 7, "!foo", "")),
        ("kind: !!binary gICA", ("kind", 1, 7, "gICA", "\ufffd\ufffd\ufffd")),
        ('{kind: "a\n b"}', ("kind", 1, 8, "a b", "a b")),
        ('kind: "a\u2028b"', ("kind", 1, 7, "a\u2028b", "a\u2028b")),
        ("annotations: {k: null}", ("annotations['k']", 1, 18, "null", "")),
        ("annotations: {1.5: v}", ("annotations['1.5']", 1, 15, "1.5", "1.5")),
        ("annotations: {-.inf: v}", ("annotations['-.inf']", 1, 15, "-.inf", "-.inf")),
        ("annotations: !foo {k: v}", ("annotations", 1, 14, "!foo", "")),
        ("devices: !foo []", ("devices", 1, 10, "!foo", "")),
        ("!foo {kind: a}", ("", 1, 1, "!foo", "")),
        ("containerEdits: {env: [null]}", ("containerEdits.env[0]", 1, 24, "null", "")),
        (
            "containerEdits: {additionalGids: [~]}",
            ("containerEdits.additionalGids[0]", 1, 35, "null", "0"),
        ),
        ("kind: a\n...\nkind: b", ("", 3, 1, "kind: b", "")),
        ('{"kind": "a"} b @', ("", 1, 15, "b @", "")),
    ],
)
def test_what_is_read_otherwise_than_written_is_an_accident_with_its_place(text, expected):
    assert accidents(text) == [expected]


@pytest.mark.parametrize("text", ['kind: "a\n  b"', "kind: a\n  b", "kind: |\n  a\n  b"])
def test_line_breaks_where_yaml_is_written_by_hand_are_no_accident(text):
    assert accidents(text) == []


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0666", 438),
        ("0o666", 438),
        ("0x1b6", 438),
        ("0b110110110", 438),
        ("1_000", 1000),
        ("08", 8),
        ("9007199254740993.0", 9007199254740992),
    ],
)
def test_integers_in_other_notations_are_read_and_told(written, value):
    (node,) = (
        read_text(f"{HEAD}    deviceNodes: [{{path: /dev/x, major: {written}}}]".encode())
        .spec.devices[0]
        .container_edits.device_nodes
    )

    assert node.major == value
    assert accidents(f"{HEAD}    deviceNodes: [{{path: /dev/x, major: {written}}}]") == [
        ("devices[0].containerEdits.deviceNodes[0].major", 6, 41, written, str(value))
    ]


@pytest.mark.parametrize("written", ["195", "-195", "+195", "195.0", "1.95e2", "-0", "0"])
def test_integers_that_everybody_reads_alike_are_no_accidents(written):
    text = f"{HEAD}    deviceNodes: [{{path: /dev/x, major: {written}}}]"

    assert accidents(text) == []
    node = read_text(text.encode()).spec.devices[0].container_edits.device_nodes[0]
    assert node.major == float(written)


@pytest.mark.parametrize(
    "written", ["1.5", "1e30", ".inf", ".nan", "-0.0", "4294967296", "[1]", "x"]
)
def test_numbers_that_no_integer_field_takes_are_refused(written):
    with pytest.raises(SpecError, match=r"line 6 column 39: .*\.uid: "):
        decode_spec(f"{HEAD}    deviceNodes: [{{path: /dev/x, uid: {written}}}]".encode())


def test_booleans_in_other_words_are_read_and_told():
    text = f"{HEAD}    intelRdt: {{enableMonitoring: On}}"

    assert read_text(text.encode()).spec.devices[0].container_edits.intel_rdt.enable_monitoring
    assert accidents(text) == [
        ("devices[0].containerEdits.intelRdt.enableMonitoring", 6, 34, "On", "true")
    ]
    assert accidents(text.replace("On", "TRUE")) == []


@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase])
def test_the_case_of_letters_plays_no_part_in_the_name_of_any_field(change):
    names = [
        *(field.encode_name for part in PARTS for field in msgspec.structs.fields(part)),
        "a-zA-Z",
    ]
    assert {fold(change(name)) for name in names} == {name.lower() for name in names}
    assert accidents("CDIVERSION: 1.1.0\nANNOTATIONS: {}") != []


def test_of_two_spellings_the_one_that_sorts_last_wins_and_both_are_told():
    reading = read_text(b'{"kind": "v/last", "Kind": "v/first", "KIND": null, "devices": null}')

    assert reading.spec.kind == "v/last"
    assert [(a.path, a.written) for a in reading.accidents] == [
        ("kind", "kind"),
        ("kind", "Kind"),
        ("kind", "KIND"),
    ]
    assert "'Kind' and 'kind' are the same field" in str(reading.accidents[0])


def test_two_spellings_of_a_part_fill_one_part_as_go_does():
    text = """
cdiVersion: 0.7.0
kind: v/c
Devices:
- {name: a, containerEdits: {env: [A=b], intelRdt: {closID: x}}}
- {name: b, containerEdits: {env: [B=b]}}
devices:
- {annotations: {k: v}, containerEdits: {mounts: [], intelRdt: {memBwSchema: m}}}
Annotations: {a: "1", b: "1"}
annotations: {b: "2"}
containerEdits: {additionalGIDs: [5, 6], additionalGids: [null]}
"""
    spec = read_text(text.encode()).spec

    (device,) = spec.devices
    assert (device.name, device.annotations) == ("a", {"k": "v"})
    assert device.container_edits.env == ("A=b",)
    assert (
        device.container_edits.intel_rdt.clos_id,
        device.container_edits.intel_rdt.mem_bw_schema,
    ) == ("x", "m")
    assert spec.annotations == {"a": "1", "b": "2"}
    assert spec.container_edits.additional_gids == (5,)


def test_null_means_not_given_for_fields_and_is_no_accident():
    text = f"""
annotations: null
containerEdits: ~
{HEAD}    env: [A=b]
    hooks: null
    intelRdt: null
    deviceNodes:
    - {{path: /dev/x, type: null, major: null, uid: null}}
"""
    spec = decode_spec(text.encode())

    assert accidents(text) == []
    assert spec.devices[0].container_edits.intel_rdt is None
    assert spec.devices[0].container_edits.device_nodes[0].uid is None


def test_a_null_device_is_a_device_without_anything():
    reading = read_text(b"kind: v/c\ndevices: [null]")

    assert reading.spec.devices[0].name == ""
    with pytest.raises(SpecError, match=r"devices\[0\].name: it is missing"):
        decode_spec(b"kind: v/c\ndevices: [null]")


def test_merge_keys_and_aliases_are_followed():
    text = """
cdiVersion: 0.6.0
kind: v/c
annotations: {<<: [{a: "1"}, {b: "2"}], c: "3"}
devices:
- &first {name: a, containerEdits: &edits {env: [A=b]}}
- {name: b, containerEdits: *edits}
- {name: c, containerEdits: {!!merge "<<": *edits, mounts: []}}
"""
    spec = decode_spec(text.encode())

    assert dict(spec.annotations) == {"a": "1", "b": "2", "c": "3"}
    assert len({device.container_edits for device in spec.devices}) == 1
    for twice in ("{<<: {a: x}, a: y}", "{a: x, <<: {a: y}}", "{<<: [{a: x}, {a: y}]}"):
        with pytest.raises(SpecError, match="'a' is there twice"):
            read_text(f"annotations: {twice}".encode())


def test_an_anchor_inside_its_own_value_is_the_inner_one_from_there_on():
    reading = read_text(b"annotations: &a {x: &a one, z: *a}\nkind: *a")

    assert (reading.spec.annotations["z"], reading.spec.kind) == ("one", "one")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-be"])
def test_other_encodings_are_read_if_a_mark_says_so(encoding):
    data = JSON.encode(encoding)
    data = b"\xfe\xff" + data if encoding == "utf-16-be" else data

    assert decode_spec(data) == decode_spec(JSON.encode())
    with pytest.raises(SpecError, match="control characters"):
        decode_spec(JSON.encode("utf-16-le"))


@pytest.mark.parametrize(
    "text",
    [
        JSON.replace('"v/c"', '"v\u0085/c"'),
        JSON.replace('"kind":', '"kind" :'),
        JSON.replace(": ", "\t:\t"),
        JSON.replace('"kind": "v/c"', "kind: v/c"),
        JSON.replace("}]}", "},]}"),
        JSON + "\n# comment",
        "\n" + JSON,
        JSON.replace('"kind"', '"annotations": {"%s": "x"}, "kind"' % ("k" * 161)),
        JSON.replace('"kind"', '"annotations": {"\\u0041": "x"}, "kind"'),
    ],
)
def test_whatever_json_looks_like_both_ways_of_reading_agree(text):
    fast, slow = read_text(text.encode()), read_text(b"--- " + text.lstrip().encode())

    assert fast.spec == slow.spec
    assert [a.path for a in fast.accidents] == [a.path for a in slow.accidents]


def test_a_key_longer_than_a_yaml_parser_takes_is_refused_in_json_too():
    with pytest.raises(SpecError, match="not YAML"):
        decode_spec(json.dumps({"annotations": {"k" * 1100: ""}}).encode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('annotations: {1: x, "1": y}', "'1' is there twice"),
        ("containerEdits: {env: [A=b:, C=d]}", "not YAML"),
        ("containerEdits: {mounts: [null]}", r"containerEdits.mounts\[0\]: it is null"),
        ("[" * 66 + "]" * 66, "nested deeper than 64 levels"),
    ],
)
def test_differences_from_the_reference_library_that_no_record_shows(text, words):
    """Listed in docs/dev/cdi-differences.md; what the library does is known from its source."""
    with pytest.raises(SpecError, match=words):
        read_text(text.encode())


def test_more_accidents_than_anybody_reads_are_counted_no_further():
    text = HEAD + "    env: [" + "1," * 1500 + "]"

    found = read_text(text.encode()).accidents

    assert len(found) == 1001
    assert (
        str(found[-1])
        == "line 6 column 2011: there are more accidents from here on; mend these first"
    )


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("16777217.0", "1.6777216e+07"),
        ("3e5", "300000"),
        ("999999.0", "999999"),
        ("1000000.0", "1e+06"),
        ("0.0001", "0.0001"),
        ("1e20", "1e+20"),
        ("1e39", "+Inf"),
        ("-1e39", "-Inf"),
        (".nan", "NaN"),
        ("1e-5", "1e-05"),
        (".5_0", "0.5"),
        ("0.1", "0.1"),
        ("1.2621775e-29", "1.2621775e-29"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744e+19"),
        ("-9223372036854775809", "-9.223372e+18"),
        ("0x" + "0" * 100 + "f", "15"),
        ("N", "false"),
    ],
)
def test_numbers_are_printed_as_go_prints_them(text, printed):
    assert number_text(resolve(text, "", plain=True)) == printed


@pytest.mark.parametrize(
    "text",
    [
        "12:30",
        "2001-12-14",
        "0000:65:00.0",
        "1e3.",
        "._5",
        "1e999",
        ".1e999",
        "0x",
        "-",
        "0x1" + "0" * 70,
        "=",
        "<<",
        ".5e_1",
    ],
)
def test_what_only_looks_like_a_number_stays_text(text):
    assert resolve(text, "", plain=True) == text


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [
        ("2001-12-14", "timestamp", "2001-12-14"),
        ("2001-2-3T4:5:6.7+01:00", "timestamp", "2001-2-3T4:5:6.7+01:00"),
        ("0000-02-29 23:59:59", "timestamp", "0000-02-29 23:59:59"),
        ("yes", "bool", True),
        ("0b11", "int", 3),
        ("1.5", "float", 1.5),
        ("7", "float", 7.0),
        ("~", "null", None),
        ("010", "str", "010"),
        ("aGk=", "binary", "hi"),
        ("010", "set", "010"),
    ],
)
def test_explicit_tags_are_followed(text, tag, value):
    assert resolve(text, f"tag:yaml.org,2002:{tag}", plain=False) == value


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("2001-13-14", "timestamp"),
        ("x", "timestamp"),
        ("1", "bool"),
        ("yes", "int"),
        ("1.0", "int"),
        ("x", "float"),
        ("18446744073709551615", "float"),
        ("x", "null"),
        ("a", "binary"),
    ],
)
def test_explicit_tags_that_do_not_fit_are_refused(text, tag):
    with pytest.raises(ValueError, match=repr(text)):
        resolve(text, f"tag:yaml.org,2002:{tag}", plain=False)


def test_keys_that_are_not_numbers_print_the_yaml_way():
    assert [key_text(float(text)) for text in ("inf", "-inf", "nan", "1.5")] == [
        ".inf",
        "-.inf",
        ".nan",
        "1.5",
    ]
