from __future__ import annotations

import pytest

from pydra_core import Capacity, Device, Inventory, Version
from pydra_core._api.rules import check
from pydra_core.attributes import Attribute, schema_faults
from pydra_core.values import binary, device_name, pci_attributes, pci_bus_id, semver


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("550.54.15", "550.54.15"),
        ("550.120", "550.120.0"),
        ("12", "12.0.0"),
        ("535.086.10", "535.86.10"),
        ("v1.2.3", "1.2.3"),
        ("1.2.3.4", "1.2.3+4"),
        ("6.12.12-1-amd64", "6.12.12+1.amd64"),
        (" 1.2.3\n", "1.2.3"),
        ("1.2." + "9" * 80, None),
        ("1.2.3-" + "a" * 80, "1.2.3+" + "a" * 58),
        ("N/A", None),
        ("", None),
    ],
)
def test_vendor_versions_become_strict_semantic_ones(text, version):
    found = semver(text)
    assert (found.text if found else None) == version
    if found:
        check(Inventory(Device("a", attributes={"v": found})))


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("gpu", "0000:3B:00.0"), "gpu-0000-3b-00-0"),
        (("GPU-A1B2",), "gpu-a1b2"),
        (("card", 3), "card-3"),
        (("__x__",), "x"),
    ],
)
def test_device_names_are_dns_labels(parts, name):
    assert device_name(*parts) == name


def test_long_device_names_are_cut_and_stay_apart():
    names = {device_name("card", "a" * 80 + end) for end in "xy"}
    assert len(names) == 2
    check(Inventory(*map(Device, names)))


def test_a_name_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no letter or digit"):
        device_name("--", ":")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (1, "1"), (1024, "1Ki"), (1 << 34, "16Gi"), (1500, "1500")]
)
def test_bytes_are_spelled_exactly(count, text):
    assert binary(count) == text


@pytest.mark.parametrize("text", ["00000000:3B:00.0", "0000:3b:00.0", "3b:00.0", " 3B:00.0 "])
def test_bus_ids_are_spelled_as_kubernetes_does(text):
    assert pci_bus_id(text) == "0000:3b:00.0"


@pytest.mark.parametrize("text", ["", "3b:00", "3b:00.9", "10000:3b:00.0", "../etc"])
def test_what_is_no_bus_id_is_refused(text):
    with pytest.raises(ValueError, match="PCI bus ID"):
        pci_bus_id(text)


@pytest.mark.parametrize(("node", "expected"), [("1\n", {"numaNode": 1}), ("-1\n", {}), ("", {})])
def test_standard_attributes_are_read_from_sysfs(tmp_path, node, expected):
    home = tmp_path / "sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0"
    home.mkdir(parents=True)
    (home / "numa_node").write_text(node)
    links = tmp_path / "sys/bus/pci/devices"
    links.mkdir(parents=True)
    (links / "0000:3b:00.0").symlink_to("../../../devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0")
    found = pci_attributes(tmp_path, "00000000:3B:00.0")
    domain = "resource.kubernetes.io"
    wanted = {"pciBusID": "0000:3b:00.0", "pcieRoot": "pci0000:3a"} | expected
    assert found == {f"{domain}/{name}": value for name, value in wanted.items()}
    check(Inventory(Device("a", attributes=found)))


def test_a_device_that_is_not_in_sysfs_has_its_address_only(tmp_path):
    found = pci_attributes(tmp_path, "3b:00.0")
    assert found == {"resource.kubernetes.io/pciBusID": "0000:3b:00.0"}


SCHEMA = {
    "model": Attribute(type=str, meaning="the vendor's name of it"),
    "driver": Attribute(type=Version, meaning="the kernel module", optional=True),
    "memory": Attribute(type=Capacity, meaning="on the card", unit="bytes"),
}


def faults(**kwargs):
    return schema_faults(SCHEMA, Inventory(Device("card-0", **kwargs)))


def test_an_inventory_is_held_to_what_its_driver_declares():
    assert faults(attributes={"model": "A1"}, capacity={"memory": "16Gi"}) == ()
    assert faults(attributes={"model": 1, "index": 2}) == (
        "device 'card-0': model is int, declared as str",
        "device 'card-0': index is not declared; add it to the driver's `attributes`",
        "device 'card-0': memory is missing; publish it, or declare it optional",
    )
    assert "driver is str" in faults(attributes={"driver": "1.2"})[0]


def test_a_driver_that_declares_nothing_is_held_to_nothing():
    assert schema_faults({}, Inventory(Device("a", attributes={"x": 1}))) == ()
