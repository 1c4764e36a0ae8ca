"""Builders read like the spec they make, never leak into each other and pick the version."""

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
    SpecBuilder,
    SpecError,
    decode_spec,
    encode_spec,
)


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
