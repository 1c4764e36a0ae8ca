"""Injection gives a new OCI spec or an error that says what to do; never something between."""

import copy
import os
from pathlib import Path

import pytest

from pydra_cdi import (
    ContainerEdits,
    Device,
    DeviceNode,
    Hook,
    InjectionError,
    IntelRdt,
    Mount,
    NetDevice,
    Registry,
    SpecBuilder,
    SpecDirectory,
    UnresolvedDevicesError,
    inject,
)

KIND = "acme.example/card"
MOUNT = Mount("/h", "/c", options=["bind"])


def snapshot(tmp_path, **devices):
    builder = SpecBuilder(KIND).add(*(Device(name, edits) for name, edits in devices.items()))
    SpecDirectory(tmp_path / "cdi").write(builder.build())
    return Registry([tmp_path / "cdi"]).refresh()


def test_facts_of_device_nodes_come_from_the_host_given(tmp_path):
    (tmp_path / "host/dev").mkdir(parents=True)
    os.mkfifo(tmp_path / "host/dev/pipe", 0o640)
    (tmp_path / "host/dev/pipe").chmod(0o640)
    found = snapshot(
        tmp_path, a=ContainerEdits(device_nodes=[DeviceNode("/dev/x", "/dev/../../dev/pipe")])
    )

    result = inject({}, [f"{KIND}=a"], found, host=tmp_path / "host")

    assert result["linux"] == {
        "devices": [{"path": "/dev/x", "type": "p", "major": 0, "minor": 0, "fileMode": 0o640}]
    }


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (DeviceNode("/dev/gone"), "/dev/gone of the host cannot be used: No such file"),
        (DeviceNode("/dev/file"), "/dev/file of the host cannot be used: it is no device node"),
        (DeviceNode("dev/file"), "dev/file of the host cannot be used: it is no device node"),
        (DeviceNode("/dev/pipe", type="c"), "/dev/pipe of the host has type p, not c"),
    ],
)
def test_a_failing_node_names_device_and_path_and_leaves_the_oci_spec_alone(tmp_path, node, words):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/file").touch()
    os.mkfifo(tmp_path / "dev/pipe")
    found = snapshot(tmp_path, a=ContainerEdits(env=["A=1"]), b=ContainerEdits(device_nodes=[node]))
    oci_spec = {"process": {"env": ["Z=0"]}, "mounts": []}
    before = copy.deepcopy(oci_spec)

    with pytest.raises(InjectionError) as caught:
        inject(oci_spec, [f"{KIND}=a", f"{KIND}=b"], found, host=tmp_path)

    assert str(caught.value).startswith(f"CDI device {KIND}=b: device node {words}")
    assert oci_spec == before


def test_the_result_shares_nothing_with_what_was_given(tmp_path):
    found = snapshot(tmp_path, a=ContainerEdits(env=["A=1"]))
    oci_spec = {"process": {"env": ["Z=0"], "args": ["sh"]}, "annotations": {"k": ["v"]}}

    result = inject(oci_spec, [f"{KIND}=a"], found)
    result["process"]["args"].append("x")
    result["annotations"]["k"].append("y")

    assert oci_spec == {"process": {"env": ["Z=0"], "args": ["sh"]}, "annotations": {"k": ["v"]}}


def test_unresolved_devices_are_all_told_with_the_reason(tmp_path):
    directory = SpecDirectory(tmp_path)
    builder = SpecBuilder(KIND).device("a").env(A="1").done()
    one, two = (directory.write(builder.build(), name).path for name in ("one", "two"))
    (tmp_path / "bad.json").write_text("{")

    with pytest.raises(UnresolvedDevicesError) as caught:
        inject({}, [f"{KIND}=a", f"{KIND}=b", f"{KIND}=b"], Registry([tmp_path]).refresh())

    assert caught.value.device_ids == (f"{KIND}=a", f"{KIND}=b", f"{KIND}=b")
    told = str(caught.value)
    assert f"{KIND}=a is defined by {one} and {two} at once" in told
    assert f"{KIND}=b is defined by no valid file in {tmp_path}" in told
    assert str(tmp_path / "bad.json") in told


@pytest.mark.parametrize(
    ("oci_spec", "words"),
    [
        (None, "the OCI spec is no object"),
        ({"process": []}, "process is a list where an object belongs"),
        ({"process": {"env": "A=1"}}, "process.env is the string 'A=1' where a list belongs"),
        ({"mounts": ["/x"]}, "mounts.[] is the string '/x' where an object belongs"),
        (
            {"mounts": [{"destination": 5}]},
            "mounts.[].destination is the int 5 where a string belongs",
        ),
    ],
)
def test_an_oci_spec_of_the_wrong_shape_is_an_error_and_not_a_crash(tmp_path, oci_spec, words):
    builder = SpecBuilder(KIND).device("a").env(A="1").mount("/h", "/c").done()
    SpecDirectory(tmp_path).write(builder.build())

    with pytest.raises(InjectionError) as caught:
        inject(oci_spec, [f"{KIND}=a"], Registry([tmp_path]).refresh())

    assert words in str(caught.value)


def test_null_members_of_an_oci_spec_count_as_absent(tmp_path):
    found = snapshot(tmp_path, a=ContainerEdits(env=["A=1"], additional_gids=[5]))

    result = inject({"process": {"env": None, "user": None}, "mounts": None}, [f"{KIND}=a"], found)

    assert result["process"] == {"env": ["A=1"], "user": {"additionalGids": [5]}}


def test_two_interfaces_cannot_have_one_name_in_the_container(tmp_path):
    found = snapshot(tmp_path, a=ContainerEdits(net_devices=[NetDevice("acme1", "eth0")]))

    with pytest.raises(InjectionError, match="eth0 of the container is acme0 of the host already"):
        inject({"linux": {"netDevices": {"acme0": {"name": "eth0"}}}}, [f"{KIND}=a"], found)


def test_a_node_without_cgroup_access_gets_no_rule(tmp_path):
    node = DeviceNode("/dev/x", type="c", major=240, minor=1, permissions="none")
    found = snapshot(tmp_path, a=ContainerEdits(device_nodes=[node]))

    result = inject({}, [f"{KIND}=a"], found, host=tmp_path)

    assert result == {
        "linux": {"devices": [{"path": "/dev/x", "type": "c", "major": 240, "minor": 1}]}
    }


def test_no_link_leads_a_host_path_out_of_the_host_given(tmp_path):
    (tmp_path / "real").mkdir()
    os.mkfifo(tmp_path / "real/pipe", 0o640)
    (tmp_path / "dev").symlink_to("/real")
    (tmp_path / "out").symlink_to("../../../../../../dev")
    directory = tmp_path / "cdi"
    builder = SpecBuilder(KIND).device("in").device_node("/dev/pipe").done()
    builder = builder.device("out").device_node("/out/null").done()
    SpecDirectory(directory).write(builder.build())
    snapshot = Registry([directory]).refresh()

    made = inject({}, [f"{KIND}=in"], snapshot, host=tmp_path)

    assert made["linux"]["devices"][0]["fileMode"] == 0o640
    with pytest.raises(InjectionError, match="/out/null of the host cannot be used: No such file"):
        inject({}, [f"{KIND}=out"], snapshot, host=tmp_path)


def test_mounts_are_sorted_by_the_depth_of_the_place_their_path_means_and_ties_stay(tmp_path):
    places = ["/x/y", "/b", "/", "/a///", "/q/../r/./s", "/x/y/../../p"]
    mounts = [Mount("/h", place, options=["bind"]) for place in places]
    found = snapshot(tmp_path, a=ContainerEdits(mounts=mounts))
    own = {"mounts": [{"destination": "/1/2/3"}, {"destination": "/proc"}]}

    made = inject(own, [f"{KIND}=a"], found)["mounts"]

    assert [mount["destination"] for mount in made] == [
        *("/proc", "/b", "/", "/a///", "/x/y/../../p"),
        *("/x/y", "/q/../r/./s"),
        "/1/2/3",
    ]


@pytest.mark.parametrize(
    ("options", "added"),
    [
        (["ro", "bind"], ["idmap"]),
        (["rbind"], ["ridmap"]),
        (["bind", "rbind"], ["ridmap"]),
        (["rbind", "bind", "ro"], ["idmap"]),
        (["bind", "ridmap"], []),
        (["idmap", "rbind"], []),
        (["bindx"], []),
    ],
)
def test_in_a_user_namespace_the_last_way_to_bind_says_how_ids_are_mapped(tmp_path, options, added):
    mounts = [Mount("/h", "/c", options=options, type="none")]
    found = snapshot(tmp_path, a=ContainerEdits(mounts=mounts))
    own = {"linux": {"namespaces": [{"type": "pid"}, {"type": "user"}]}}

    for given, wanted in ((own, [*options, *added]), ({}, options)):
        (made,) = inject(given, [f"{KIND}=a"], found)["mounts"]
        assert made["options"] == wanted


def test_what_was_applied_before_the_failing_edit_comes_with_the_error(tmp_path):
    edits = ContainerEdits(env=["B=1"], device_nodes=[DeviceNode("/dev/gone")], mounts=[MOUNT])
    found = snapshot(tmp_path, a=ContainerEdits(mounts=[MOUNT]), b=edits)

    with pytest.raises(InjectionError) as caught:
        inject({"mounts": []}, [f"{KIND}=a", f"{KIND}=b"], found, host=tmp_path)

    process = {"user": {"uid": 0, "gid": 0}, "cwd": "", "env": ["B=1"]}
    assert caught.value.applied == {"mounts": [], "process": process}
    with pytest.raises(UnresolvedDevicesError) as unresolved:
        inject({}, [f"{KIND}=none"], found)
    assert unresolved.value.applied is None


def test_what_was_injected_once_is_injected_again_as_new(tmp_path):
    hook = Hook("prestart", "/h", args=["h", "x"], env=["E=1"])
    rdt = IntelRdt(clos_id="c", schemata=["L3:0=f"])
    edits = ContainerEdits(env=["A=1"], hooks=[hook], mounts=[MOUNT], intel_rdt=rdt)
    found = snapshot(tmp_path, a=edits)
    first = inject({}, [f"{KIND}=a"], found)
    spoiled = inject({}, [f"{KIND}=a"], found)
    spoiled["hooks"]["prestart"][0]["args"].append("y")
    spoiled["hooks"]["prestart"][0]["env"].clear()
    spoiled["mounts"][0]["options"].append("y")
    spoiled["linux"]["intelRdt"]["schemata"].append("y")

    assert inject({}, [f"{KIND}=a"], found) == first
    assert first["linux"]["intelRdt"] == {"closID": "c", "schemata": ["L3:0=f"]}


def test_a_relative_host_path_counts_from_the_working_directory_of_the_runtime(
    tmp_path, monkeypatch
):
    (tmp_path / "dev").mkdir()
    os.mkfifo(tmp_path / "dev/pipe")
    found = snapshot(tmp_path, a=ContainerEdits(device_nodes=[DeviceNode("dev/pipe")]))
    monkeypatch.chdir(tmp_path)

    for host in (Path("/"), tmp_path):
        result = inject({}, [f"{KIND}=a"], found, host=host)
        assert result["linux"]["devices"][0]["type"] == "p"


def test_values_that_json_has_not_are_copied_as_they_want_to_be(tmp_path):
    found = snapshot(tmp_path, a=ContainerEdits(env=["A=1"]))
    given = {"annotations": ({"k": ["v"]},), "x": [1.5, None, True]}

    result = inject(given, [f"{KIND}=a"], found)

    assert result["annotations"] == given["annotations"]
    assert result["annotations"][0]["k"] is not given["annotations"][0]["k"]
    assert result["x"] == given["x"]


def test_of_two_nodes_with_one_path_in_the_container_one_is_overwritten(tmp_path):
    node = DeviceNode("/dev/x", type="c", major=240, minor=1, file_mode=0o600, uid=7, gid=8)
    found = snapshot(tmp_path, a=ContainerEdits(device_nodes=[node]))
    new = {"path": "/dev/x", "type": "c", "major": 240, "minor": 1, "fileMode": 0o600}
    new |= {"uid": 7, "gid": 8}
    given = {"linux": {"devices": [{"path": "/dev/x"}, {"path": "/dev/y"}, {"path": "/dev/x"}]}}

    result = inject(given, [f"{KIND}=a"], found)

    assert result["linux"]["devices"] == [{"path": "/dev/y"}, new]
