"""A spec converts to another version where its features allow it; else every feature in the way is named."""

import pytest

from pydra_cdi import (
    ContainerEdits,
    Device,
    DeviceNode,
    IntelRdt,
    Mount,
    NetDevice,
    Spec,
    SpecError,
    decode_spec,
    encode_spec,
    find_faults,
)
from pydra_cdi.conversion import convert
from pydra_cdi.versions import KNOWN_VERSIONS

PLAIN = Spec("1.0.0", "v/c", [Device("a", ContainerEdits(env=["A=b"]))])
EVERYTHING = Spec(
    "1.1.0",
    "v/c.d",
    [
        Device(
            "0",
            ContainerEdits(
                net_devices=[NetDevice("h", "n")],
                intel_rdt=IntelRdt(schemata=[], enable_monitoring=True),
                additional_gids=[1],
                device_nodes=[DeviceNode("/dev/a"), DeviceNode("/dev/b", host_path="/dev/c")],
                mounts=[Mount("tmpfs", "/c", type="tmpfs")],
            ),
            {"k": "v"},
        )
    ],
    annotations={"k": "v"},
)


@pytest.mark.parametrize("version", KNOWN_VERSIONS[2:])
def test_a_plain_spec_converts_to_every_version_and_back(version):
    converted = convert(PLAIN, version)

    assert converted.cdi_version == version
    assert decode_spec(encode_spec(converted)) == converted
    assert convert(converted, "v1.0.0") == PLAIN


def test_every_feature_in_the_way_is_named_with_its_place_and_version():
    at = "devices[0].containerEdits"
    needs = [
        ("kind", "0.6.0"),
        ("annotations", "0.6.0"),
        ("devices[0].name", "0.5.0"),
        ("devices[0].annotations", "0.6.0"),
        (f"{at}.netDevices", "1.1.0"),
        (f"{at}.intelRdt", "0.7.0"),
        (f"{at}.intelRdt.schemata", "1.1.0"),
        (f"{at}.intelRdt.enableMonitoring", "1.1.0"),
        (f"{at}.additionalGids", "0.7.0"),
        (f"{at}.deviceNodes[1].hostPath", "0.5.0"),
        (f"{at}.mounts[0].type", "0.4.0"),
    ]
    order = KNOWN_VERSIONS.index

    for version in KNOWN_VERSIONS[2:]:
        in_the_way = [(path, need) for path, need in needs if order(need) > order(version)]
        if not in_the_way:
            assert find_faults(convert(EVERYTHING, version)) == ()
            continue
        with pytest.raises(SpecError) as caught:
            convert(EVERYTHING, version)
        assert [(f.path, f.message.split()[-1]) for f in caught.value.faults] == in_the_way
        assert all(fault.remedy.startswith("do without it") for fault in caught.value.faults)


@pytest.mark.parametrize("version", ["0.2.0", "1.2.0", "", "latest"])
def test_versions_no_spec_can_declare_are_refused(version):
    with pytest.raises(SpecError, match=r"cdiVersion: .* is no version a spec can declare"):
        convert(PLAIN, version)
