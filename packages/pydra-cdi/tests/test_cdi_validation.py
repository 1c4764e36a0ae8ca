"""Every broken rule is found at once, with its path and what to do about it."""

import json

import pytest

from pydra_cdi import (
    ContainerEdits,
    Device,
    DeviceNode,
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
        "cdiVersion": 1,
        "devices": [
            {
                "name": "a",
                "containerEdits": {
                    "deviceNodes": [
                        {"path": "/dev/x", "fileMode": "0666", "uid": -1, "mojor": 1},
                        None,
                    ],
                    "additionalGIDs": [5],
                    "intelRdt": {"enableMonitoring": 1},
                },
                "annotations": {"k": 5},
            }
        ],
    }

    error = refused(document)

    at = "devices[0].containerEdits"
    assert {fault.path: fault.remedy for fault in error.faults} == {
        "cdiVersion": "put it in quotes",
        "kind": "every Spec needs it: add it",
        "devices[0].annotations['k']": "put it in quotes",
        f"{at}.additionalGIDs": "did you mean 'additionalGids'?",
        f"{at}.deviceNodes[0].mojor": "did you mean 'major'?",
        f"{at}.deviceNodes[0].fileMode": "write an integer",
        f"{at}.deviceNodes[0].uid": "use 0 to 4294967295",
        f"{at}.deviceNodes[1]": "write an object (DeviceNode) or take the entry out",
        f"{at}.intelRdt.enableMonitoring": "write true or false",
    }


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
        (b"", "no document"),
        (b"---\n", "where an object"),
        (b'{"a": 1', "line 1 column 8 is not JSON"),
        (b'{"kind": "a/b", "kind": "a/c"}', "line 1: key 'kind' is there twice"),
        (b'{"kind": "a\\/b"}', "line 1 has the escape"),
        (b'\n{"kind": "\\ud83d\\ude00"}', "line 2 has the escape"),
        (b"\xff\xfe\x00", "is not utf-16"),
        (b"\xc3\x28", "is not utf-8"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b'{"kind": ' + b"9" * 5000 + b"}", "kind: it is the float inf"),
        (b"a: &a [*a]", "alias *a has no finished anchor"),
        (b"a: b: c", "line 1 column 5 is not YAML"),
        (b"%YAML 1.2\n---\na: b", "YAML 1.1"),
        (b"a: !!python/name:os.system x", "no meaning in a spec"),
    ],
)
def test_text_that_is_no_document_is_refused_with_the_place(text, words):
    assert words in str(refused(text))


def test_aliases_that_expand_beyond_reason_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    assert "expands to more than" in str(refused("\n".join(lines).encode()))


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
