"""Builders read like the spec they make, never leak into each other and pick the version."""

import string

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
    SpecBuilder,
    SpecError,
    decode_spec,
    encode_spec,
    find_faults,
    minimum_version,
)
from pydra_cdi._edits_rules import HOOK_NAMES
from pydra_cdi.codec import read_text


def test_every_kind_of_edit_can_be_built():
    spec = (
        SpecBuilder("acme.example/card")
        .annotate("acme.example/firmware", "7")
        .env(ACME="1")
        .device("card0")
        .annotate("acme.example/slot", "3")
        .env("CARD=0", MODE="shared")
        .device_node("/dev/card0", type="c", major=240, minor=0, file_mode=0o660)
        .mount("/opt/acme", "/opt/acme")
        .mount("tmpfs", "/scratch", type="tmpfs", options=["size=1m"])
        .hook("createContainer", "/opt/acme/hook", args=["hook", "card0"], timeout=5)
        .net_device("acme0", "net0")
        .intel_rdt(clos_id="acme")
        .additional_gids(44)
        .done()
        .build()
    )

    edits = ContainerEdits(
        env=["CARD=0", "MODE=shared"],
        device_nodes=[DeviceNode("/dev/card0", type="c", major=240, minor=0, file_mode=0o660)],
        mounts=[
            Mount("/opt/acme", "/opt/acme", ["ro", "nosuid", "nodev", "rbind"]),
            Mount("tmpfs", "/scratch", ["size=1m"], "tmpfs"),
        ],
        hooks=[Hook("createContainer", "/opt/acme/hook", ["hook", "card0"], timeout=5)],
        net_devices=[NetDevice("acme0", "net0")],
        intel_rdt=IntelRdt(clos_id="acme"),
        additional_gids=[44],
    )
    assert spec == Spec(
        "1.1.0",
        "acme.example/card",
        [Device("card0", edits, {"acme.example/slot": "3"})],
        ContainerEdits(env=["ACME=1"]),
        {"acme.example/firmware": "7"},
    )
    assert decode_spec(encode_spec(spec)) == spec


def test_branches_of_one_builder_share_nothing_but_the_beginning():
    stem = SpecBuilder("v/c").env(COMMON="1").device("a").env(A="1").done()
    half = stem.device("b").env(B="1")

    left = half.env(LEFT="1").annotate("k", "left").done().annotate("s", "left").build()
    right = half.env(RIGHT="1").done().build()

    assert left.devices[1].container_edits.env == ("B=1", "LEFT=1")
    assert right.devices[1].container_edits.env == ("B=1", "RIGHT=1")
    assert (dict(left.annotations), dict(right.annotations)) == ({"s": "left"}, {})
    assert [device.name for device in stem.build().devices] == ["a"]


def test_the_lowest_version_that_will_do_is_declared():
    def version(builder):
        return builder.build().cdi_version

    plain = SpecBuilder("v/c").device("a").env(A="1")

    assert version(plain.done()) == "0.3.0"
    assert version(plain.mount("t", "/t", type="tmpfs").done()) == "0.4.0"
    assert version(plain.done().device("0a").env(A="1").done()) == "0.5.0"
    assert version(plain.annotate("k", "v").done()) == "0.6.0"
    assert version(plain.additional_gids(5).done()) == "0.7.0"
    assert version(plain.net_device("e", "n").done()) == "1.1.0"


def test_a_version_can_be_insisted_on():
    builder = SpecBuilder("v/c").device("0a").env(A="1").done()

    assert builder.build(version="1.1.0").cdi_version == "1.1.0"
    with pytest.raises(SpecError, match=r"devices\[0\].name.* needs 0.5.0"):
        builder.build(version="0.4.0")
    with pytest.raises(SpecError, match=r"'1\.2\.0' is no released version"):
        builder.build(version="1.2.0")


def test_finished_devices_and_edits_can_be_added():
    edits = ContainerEdits(env=["A=1"])

    spec = (
        SpecBuilder("v/c")
        .edits(edits)
        .add(Device("a", edits), Device("b", edits))
        .device("c")
        .edits(edits)
        .done()
        .build()
    )

    assert [device.container_edits for device in spec.devices] == [edits, edits, edits]
    assert spec.container_edits == edits


def test_building_tells_all_faults_at_once():
    with pytest.raises(SpecError) as caught:
        SpecBuilder("nokind").device("a").done().device("b").device_node(5).done().build()
    assert [fault.path for fault in caught.value.faults] == [
        "devices[1].containerEdits.deviceNodes[0].path"
    ]

    with pytest.raises(SpecError) as caught:
        SpecBuilder("nokind").device("a").done().build()
    assert [fault.path for fault in caught.value.faults] == ["kind", "devices[0].containerEdits"]


def test_wrong_types_given_to_a_builder_are_faults_and_no_crash():
    with pytest.raises(SpecError) as caught:
        SpecBuilder("v/c").device("a").annotate(5, "x").env("A=\ud800").done().build()

    assert [fault.path for fault in caught.value.faults] == [
        "devices[0].containerEdits.env[0]",
        "devices[0].annotations[5]",
    ]


LETTERS = string.ascii_letters
NAMES = st.from_regex(r"[A-Za-z]([A-Za-z0-9_.-]{0,20}[A-Za-z0-9])?", fullmatch=True)
DEVICE_NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.:-]{0,20}[A-Za-z0-9])?", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
SOME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)
UINT32 = st.none() | st.integers(0, 2**32 - 1)
VARIABLES = st.tuples(st.text(LETTERS, min_size=1, max_size=5), TEXT).map("=".join)


@st.composite
def edited(draw, builder):
    """Anything a driver may add to a spec or to a device, each kind of edit at least possible."""
    builder = builder.env(draw(VARIABLES))  # a device edits something
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.integers(0, 5)):
            case 0:
                access = draw(st.sampled_from(["", "rw", "rwm", "none"]))
                fields = {"type": draw(st.sampled_from("bcup")), "major": draw(st.integers(0, 511))}
                fields |= {"host_path": draw(TEXT), "uid": draw(UINT32), "file_mode": draw(UINT32)}
                builder = builder.device_node(draw(SOME), permissions=access, **fields)
            case 1:
                builder = builder.mount(draw(SOME), draw(SOME), type=draw(TEXT))
            case 2:
                timeout = draw(st.none() | st.integers(0, 99))
                fields = {"args": draw(st.lists(TEXT, max_size=2)), "timeout": timeout}
                builder = builder.hook(draw(st.sampled_from(HOOK_NAMES)), draw(SOME), **fields)
            case 3:
                schemata = draw(st.none() | st.lists(TEXT, max_size=2))
                builder = builder.intel_rdt(
                    schemata=schemata, enable_monitoring=draw(st.booleans())
                )
            case 4:
                builder = builder.additional_gids(draw(st.integers(0, 2**32 - 1)))
            case _:
                builder = builder.annotate(draw(NAMES), draw(TEXT))
    return builder


@st.composite
def built(draw):
    builder = draw(edited(SpecBuilder(f"{draw(NAMES)}/{draw(NAMES)}")))
    for name in draw(st.lists(DEVICE_NAMES, min_size=1, max_size=3, unique=True)):
        builder = draw(edited(builder.device(name))).done()
    return builder.build()


@settings(deadline=None, max_examples=60)
@given(built())
def test_what_the_builder_makes_is_valid_minimal_and_read_back_as_it_was(spec):
    assert find_faults(spec, strict=True) == ()
    assert spec.cdi_version == minimum_version(spec)
    assert decode_spec(encode_spec(spec)) == spec
    assert read_text(encode_spec(spec)).accidents == ()
