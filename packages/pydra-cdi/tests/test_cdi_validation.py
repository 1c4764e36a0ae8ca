"""Every broken rule is found at once, with its path and what to do about it."""

import json

import pytest

from pydra_cdi import (
    ContainerEdits,
    Device,
    DeviceNode,
    Fault,
    Hook,
    IntelRdt,
    Mount,
    NetDevice,
    QualifiedName,
    Spec,
    SpecError,
    decode_spec,
    find_faults,
)
from pydra_cdi._yaml import parse_yaml
from pydra_cdi.codec import locate
from pydra_cdi.errors import UnreadableError

GOOD = {
    "cdiVersion": "0.5.0",
    "kind": "acme.example/card",
    "devices": [{"name": "a", "containerEdits": {"env": ["A=b"]}}],
}


def paths(spec, **options):
    return [fault.path for fault in find_faults(spec, **options)]


def refused(document):
    with pytest.raises(SpecError) as caught:
        decode_spec(document if isinstance(document, bytes) else json.dumps(document).encode())
    return caught.value


def test_all_faults_of_a_spec_are_found_in_the_order_of_the_document():
    bad = ContainerEdits(
        env=["A"],
        device_nodes=[DeviceNode(""), DeviceNode("/dev/x", type="d", permissions="x")],
        hooks=[Hook("start", "", env=["=b"])],
        mounts=[Mount("/h", "/c"), Mount("", "")],
        intel_rdt=IntelRdt(clos_id="a/b"),
        net_devices=[NetDevice("", "n"), NetDevice("h", "n")],
    )
    spec = Spec(
        "0.3.0", "1/", [Device("-", ContainerEdits()), Device("a", bad), Device("a", bad)][:2]
    )

    at = "devices[1].containerEdits"
    assert paths(spec) == [
        "cdiVersion",
        "kind",
        "kind",
        "devices[0].name",
        "devices[0].containerEdits",
        f"{at}.env[0]",
        f"{at}.deviceNodes[0].path",
        f"{at}.deviceNodes[1].type",
        f"{at}.deviceNodes[1].permissions",
        f"{at}.hooks[0].hookName",
        f"{at}.hooks[0].path",
        f"{at}.hooks[0].env[0]",
        f"{at}.mounts[1].hostPath",
        f"{at}.mounts[1].containerPath",
        f"{at}.intelRdt.closID",
        f"{at}.netDevices[0].hostInterfaceName",
        f"{at}.netDevices[1].name",
    ]
    assert all(fault.message and fault.remedy for fault in find_faults(spec))


def test_a_version_too_low_names_the_feature_and_the_version_it_needs():
    spec = Spec(
        "0.3.0",
        "v/c",
        [
            Device("a", ContainerEdits(env=["A=b"])),
            Device("b", ContainerEdits(additional_gids=[5])),
        ],
    )

    (fault,) = find_faults(spec)

    assert fault.path == "cdiVersion"
    assert "devices[1].containerEdits.additionalGids" in fault.message
    assert "0.7.0" in fault.remedy


def test_a_device_name_used_twice_is_reported_at_the_second():
    devices = [Device("a", ContainerEdits(env=["A=b"]))] * 2

    (fault,) = find_faults(Spec("0.3.0", "v/c", devices))

    assert (fault.path, fault.message) == (
        "devices[1].name",
        "'a' is the name of devices[0] already",
    )


def test_faults_of_types_and_fields_are_all_found_with_their_paths():
    document = {
        "cdiVersion": [1],
        "devices": [
            {
                "name": "a",
                "containerEdits": {
                    "deviceNodes": [
                        {"path": "/dev/x", "fileMode": "0666", "uid": -1, "mojor": 1},
                        None,
                    ],
                    "additional_gids": [5],
                    "intelRdt": {"enableMonitoring": 1, "schemata": "x"},
                    "env": {"A": "b"},
                    "mounts": ["/h"],
                },
                "annotations": {"k": ["v"]},
            },
            {"annotations": "k=v"},
        ],
    }

    error = refused(document)

    at = "devices[0].containerEdits"
    assert {fault.path: fault.remedy for fault in error.faults} == {
        "cdiVersion": "write a string",
        "kind": "every Spec needs it: add it",
        "devices[0].annotations['k']": "write a string",
        f"{at}.additional_gids": "did you mean 'additionalGids'?",
        f"{at}.deviceNodes[0].mojor": "did you mean 'major'?",
        f"{at}.deviceNodes[0].fileMode": "write an integer",
        f"{at}.deviceNodes[0].uid": "use 0 to 4294967295",
        f"{at}.deviceNodes[1]": "write an object (DeviceNode) or take the entry out",
        f"{at}.intelRdt.enableMonitoring": "write true or false",
        f"{at}.intelRdt.schemata": "write a list",
        f"{at}.env": "write a list",
        f"{at}.mounts[0]": "write an object (Mount)",
        "devices[1].annotations": "write an object of strings",
        "devices[1].name": "every Device needs it: add it",
        "devices[1].containerEdits": "every Device needs it: add it",
    }
    assert all((fault.line, bool(fault.column)) == (1, True) for fault in error.faults)


def test_null_and_integral_floats_that_other_writers_leave_are_read():
    document = {
        **GOOD,
        "annotations": None,
        "devices": [
            {
                "name": "a",
                "containerEdits": {
                    "env": None,
                    "deviceNodes": [{"path": "/dev/x", "type": "c", "major": 195.0}],
                },
            }
        ],
    }

    spec = decode_spec(json.dumps(document).encode())

    assert spec.devices[0].container_edits == ContainerEdits(
        device_nodes=[DeviceNode("/dev/x", type="c", major=195)]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "line 1 column 1: there is no document"),
        (b"# nothing\n", "there is no document"),
        (b"---\n", "there is no spec in it"),
        (b"null", "there is no spec in it"),
        (b"[]", "it is a list where an object (Spec) belongs"),
        (b'{"a": 1', "did not find expected ',' or '}'"),
        (b'{"kind": "a/b", "kind": "a/c"}', "line 1 column 17: key 'kind' is there twice"),
        (b'{"x": "\\u006b", "x": 1}', "key 'x' is there twice"),
        (b'{"kind": "a\\/b"}', "line 1 column 10: it holds the escape"),
        (b'\n{"kind": "\\ud83d\\ude00"}', "line 2 column 13: a surrogate is written as an escape"),
        (b'{"kind": "\xc3\xa9\\U0000DFFF"}', "line 1 column 14: a surrogate is written"),
        (b'{"kind": "\\U00110000"}', "line 1 column 13: it is not YAML"),
        (b'{"kind": "\\uzd83d"}', "line 1 column 13: it is not YAML"),
        (b"a: b: c\n" + b" " * 200_000 + b"\xff", "line 1 column 5: it is not YAML"),
        (b'\n {"kind": "\xc3\xa9\x7f"}', "line 2 column 13: it is not YAML: control characters"),
        (b"\xff\xfe\x00", "is not UTF-16"),
        (b"\xc3\x28", "line 1 column 2: it is not YAML: invalid trailing UTF-8 octet"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b'{"kind"\n: "a/b"}', "line 2 column 1"),
        (b"{kind: a?b}", "line 1 column 8: runtimes take '?' for the beginning of a key here"),
        (b"a: &a [*a]", "alias *a has no finished anchor"),
        (b"a: *b", "alias *b has no finished anchor"),
        (b"a: b: c", "line 1 column 5: it is not YAML"),
        (b"%YAML 1.2\n---\na: b", "YAML 1.1"),
        (b"%TAG !a! b\n" * 200 + b"---\na: b", "more than 100 tag directives"),
        (b"{a: b}: c", "a key is not a scalar"),
        (b"~: c", "a key is null"),
        (b"18446744073709551615: c", "a key is null or a number of 64 bits"),
        (b"9223372036854775808: c", "a key is null or a number of 64 bits"),
        (b"9223372036854775807: c", "9223372036854775807: no such field exists"),
        (b"<<: c", "'<<' merges something that is no mapping"),
        (b"kind: !!int a/b", "'a/b' is not what its tag !!int says"),
        (b"kind: !!binary a/b", "'a/b' is not base64"),
    ],
)
def test_text_that_is_no_document_is_refused_with_the_place(text, words):
    assert words in str(refused(text))


def test_aliases_that_expand_beyond_reason_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "nearly all aliases" in str(refused("\n".join(lines).encode()))

    half = b"a: &a [" + b"x," * 20_000 + b"]\nb: [*a, *a, *a, *a]"
    assert "line 2 column 17: it holds or expands to more than 100000" in str(refused(half))


def test_semantic_faults_of_json_and_yaml_tell_line_and_column_in_the_order_of_the_text():
    lines = [
        '{ "devices": [ {"name": "a", "containerEdits": {"env": ["A=b", ',
        '   "C"]}}, {"name": "a", "containerEdits": {}} ],',
        '  "kind": "acme.example/",',
        '  "annotations": {"it\'s": "x", "q\\"": "y"}, "cdiVersion": "0.5.0"}',
    ]

    error = refused("\n".join(lines).encode())

    assert [(fault.path, fault.line, fault.column) for fault in error.faults] == [
        ("devices[0].containerEdits.env[1]", 2, 4),
        ("devices[1].name", 2, 21),
        ("devices[1].containerEdits", 2, 44),
        ("kind", 3, 11),
        ("cdiVersion", 4, 59),
    ]
    assert str(error.faults[3]).startswith("line 3 column 11: kind: the class is empty; ")

    error = refused(
        b"cdiVersion: 0.5.0\nkind: v/c\ndevices:\n- name: '-'\n  containerEdits: {env: [a]}\n"
    )
    assert [(fault.line, fault.column) for fault in error.faults] == [(4, 9), (5, 26)]


def test_what_is_missing_is_told_once_and_at_its_owner():
    error = refused(b'{"cdiVersion": "0.3.0", "kind": "v/c",\n "devices": [{"name": "a"}]}')

    assert [str(fault) for fault in error.faults] == [
        "line 2 column 14: devices[0].containerEdits: it is missing; every Device needs it: add it"
    ]


def test_faults_of_a_spec_that_is_too_large_to_search_have_no_line_but_are_told():
    env = ["A=b"] * 100_000 + ["bad"]
    spec = {**GOOD, "devices": [{"name": "a", "containerEdits": {"env": env}}]}

    (fault,) = refused(spec).faults

    assert (fault.path, fault.line) == ("devices[0].containerEdits.env[100000]", None)


def test_more_faults_than_anybody_reads_are_counted_no_further():
    spec = {**GOOD, "devices": [{"name": "a", "containerEdits": {"env": ["bad"] * 2000}}]}
    faults = refused(spec).faults
    assert (len(faults), str(faults[-1])) == (1001, "there are more faults; mend these first")

    spec["devices"][0]["containerEdits"] = {"mounts": [1] * 2000}
    assert len(refused(spec).faults) == 1000

    spec["devices"] = [{}] * 2000
    assert len(refused(spec).faults) == 1001


def test_keys_too_long_for_runtimes_are_refused_before_they_are_written():
    assert paths(annotated({"k" * 1024: ""})) == []
    assert paths(annotated({"k" * 1025: ""})) == [f"annotations['{'k' * 40}'...]"]


def test_a_text_with_more_values_than_any_spec_is_refused_unread():
    assert "more values than any spec" in str(refused(b"[" + b"1," * 300_000))


def test_one_fault_is_told_on_one_line_and_several_on_a_line_each():
    faults = [Fault("a", "wrong", "mend it"), Fault("b", "odd", "mend it too", 2, 3)]

    assert str(SpecError("it", faults[:1])) == "it is not valid: a: wrong; mend it"
    both = "it is not valid:\n  a: wrong; mend it\n  line 2 column 3: b: odd; mend it too"
    assert str(SpecError("it", faults)) == both


def test_texts_are_cut_in_messages():
    spec = {**GOOD, "kind": "x" * 10_000}

    assert len(str(refused(spec))) < 300


def test_locating_faults_in_a_text_they_do_not_belong_to_gives_the_nearest_place():
    faults = [
        Fault("devices[7].name", "m", "r"),
        Fault("kind.x[0]", "m", "r"),
        Fault("nowhere", "m", "r"),
        Fault("annotations['k']", "m", "r", 9, 9),
    ]

    placed = locate(b'{"kind": "v/c",\n "devices": [1]}', faults)

    assert [(f.path, f.line, f.column) for f in placed] == [
        ("nowhere", 1, 1),
        ("kind.x[0]", 1, 10),
        ("devices[7].name", 2, 13),
        ("annotations['k']", 9, 9),
    ]
    assert locate(b"a: {b: 1, b: 2}", [Fault("a.b", "m", "r")])[0].line == 1


def test_our_own_specs_are_held_to_the_rules_for_annotations():
    devices = [Device("a", ContainerEdits(env=["A=b"]), {"Bad.Prefix/x": "", "good": ""})]
    too_much = {"acme.example/blob": "x" * (256 * 1024)}
    spec = Spec("0.6.0", "v/c", devices, annotations={**too_much, "-": ""})

    assert paths(spec) == []
    assert paths(spec, strict=True) == [
        "annotations['-']",
        "annotations",
        "devices[0].annotations['Bad.Prefix/x']",
    ]


def annotated(annotations):
    return Spec("0.6.0", "v/c", [Device("a", ContainerEdits(env=["A=b"]))], annotations=annotations)


def test_annotations_may_be_as_long_as_the_rules_say_and_no_longer():
    prefix, name = "x" * 253, "y" * 63

    assert paths(annotated({f"{prefix}/{name}": "1"}), strict=True) == []
    assert paths(annotated({f"{prefix}x/{name}": "1"}), strict=True) != []
    assert paths(annotated({f"{prefix}/{name}y": "1"}), strict=True) != []
    assert paths(annotated({"ab": "é" * (128 * 1024 - 1)}), strict=True) == []
    assert paths(annotated({"abc": "é" * (128 * 1024 - 1)}), strict=True) == ["annotations"]


@pytest.mark.parametrize(
    ("edits", "fault"),
    [
        ({"env": None}, ("env", "it is null where a list belongs")),
        ({"env": [1]}, ("env[0]", "it is the int 1 where a string belongs")),
        ({"mounts": ["/a"]}, ("mounts[0]", "the string '/a' where an object (Mount) belongs")),
        ({"additional_gids": [True]}, ("additionalGids[0]", "the bool True where an integer")),
        ({"additional_gids": [-1]}, ("additionalGids[0]", "-1 is out of range")),
        ({"intel_rdt": IntelRdt(enable_monitoring=1)}, ("intelRdt.enableMonitoring", "the int 1")),
        ({"device_nodes": [DeviceNode("/x", major=2**63)]}, ("deviceNodes[0].major", "range")),
        ({"device_nodes": [DeviceNode("/x", file_mode="0666")]}, ("deviceNodes[0].fileMode", "'0")),
    ],
)
def test_what_python_lets_pass_is_refused_with_its_place(edits, fault):
    spec = Spec("1.1.0", "v/c", [Device("a", ContainerEdits(**edits))])
    path, words = fault

    (found,) = find_faults(spec, strict=True)

    assert found.path == f"devices[0].containerEdits.{path}"
    assert words in found.message


@pytest.mark.parametrize(
    ("clos_id", "is_good"),
    [
        ("é" * 2047 + "x", True),
        ("é" * 2048, False),
        ("/", True),
        ("...", True),
        (".", False),
        ("..", False),
        ("a\n", False),
    ],
)
def test_a_class_of_service_is_one_directory_name_of_less_than_4096_bytes(clos_id, is_good):
    edits = ContainerEdits(intel_rdt=IntelRdt(clos_id=clos_id))

    assert (paths(Spec("0.7.0", "v/c", [Device("a", edits)])) == []) == is_good


@pytest.mark.parametrize(
    ("text", "levels"), [("{a: %s}", 64), ("[%s]", 64), ("[{a: %s}]", 32)], ids=str
)
def test_text_may_be_nested_to_the_bound_and_no_deeper(text, levels):
    def nested(depth):
        inner = "1"
        for _ in range(depth):
            inner = text % inner
        return inner.encode()

    assert parse_yaml(nested(levels)) is not None
    with pytest.raises(UnreadableError, match="nested deeper than 64 levels"):
        parse_yaml(nested(levels + 1))


def test_our_own_specs_never_hold_a_mount_that_no_runtime_can_make():
    mounts = [Mount("/h", "/a"), Mount("/h", "/b", ["rbind"]), Mount("tmpfs", "/c", type="tmpfs")]
    spec = Spec("0.4.0", "v/c", [Device("a", ContainerEdits(mounts=mounts))])

    assert paths(spec) == []
    assert paths(spec, strict=True) == ["devices[0].containerEdits.mounts[0].options"]


def test_each_broken_part_of_a_device_id_is_a_fault():
    with pytest.raises(SpecError) as caught:
        QualifiedName.parse("1/c-=:x")

    assert [fault.path for fault in caught.value.faults] == ["vendor", "class", "name"]
    with pytest.raises(SpecError, match="vendor/class=name"):
        QualifiedName.parse("card0")


def test_a_device_id_is_a_value_with_a_kind():
    name = QualifiedName.parse("acme.example/card=card0")

    assert (name.kind, str(name)) == ("acme.example/card", "acme.example/card=card0")
    assert name == QualifiedName("acme.example", "card", "card0")
    assert len({name, QualifiedName("acme.example", "card", "card0")}) == 1
