"""A registry shows what a runtime would see, and no file can hurt another."""

import json
import os
from pathlib import Path

import pytest

from pydra_cdi import (
    Registry,
    Snapshot,
    SpecBuilder,
    SpecDirectory,
    SpecError,
    SpecFileError,
    encode_spec,
    read_spec,
)

KIND = "acme.example/card"


def spec(*names, value="1"):
    builder = SpecBuilder(KIND)
    for name in names:
        builder = builder.device(name).env(VALUE=value).done()
    return builder.build()


def test_the_directory_of_higher_priority_wins_device_by_device(tmp_path):
    low, high = SpecDirectory(tmp_path / "etc"), SpecDirectory(tmp_path / "run")
    low.write(spec("a", "b", value="low"))
    high.write(spec("a", value="high"), "claim")

    snapshot = Registry([low.path, high.path]).refresh()

    assert snapshot.errors == {}
    assert snapshot.find(f"{KIND}=a").device.container_edits.env == ("VALUE=high",)
    assert snapshot.find(f"{KIND}=b").origin.path == low.file(KIND)
    assert snapshot.find(f"{KIND}=c") is None


def test_files_are_read_in_the_order_of_the_bytes_of_their_names(tmp_path):
    names = ["A.json", "B.yaml", "_.json", "a.json", "é.json", "\udcff.json"]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(encode_spec(spec(f"card{number}")))

    assert [one.path.name for one in Registry([tmp_path]).refresh().specs] == names


def test_a_conflict_takes_the_device_from_both_and_is_told_for_both(tmp_path):
    directory = SpecDirectory(tmp_path)
    first = directory.write(spec("x", "gpu0"), "claim-1").path
    second = directory.write(spec("gpu0"), "claim-2").path

    snapshot = Registry([tmp_path]).refresh()

    assert list(snapshot.devices) == [f"{KIND}=x"]
    assert dict(snapshot.conflicts) == {f"{KIND}=gpu0": (first, second)}
    (told,) = snapshot.errors[first]
    assert told.faults[0].path == "devices[1].name"
    assert str(second) in str(told)
    assert str(first) in str(snapshot.errors[second][0])


def test_bad_files_hurt_nobody_and_a_fifo_does_not_hang_the_reader(tmp_path):
    good = SpecDirectory(tmp_path).write(spec("a")).path
    (tmp_path / "broken.json").write_text('{"cdiVersion":')
    (tmp_path / "large.json").write_bytes(b" " * 3000)
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "directory.json").mkdir()

    snapshot = Registry([tmp_path / "missing", tmp_path], size_limit=2000).refresh()

    assert list(snapshot.devices) == [f"{KIND}=a"]
    assert [loaded.path for loaded in snapshot.specs] == [good]
    kinds = {path.name: type(error) for path, (error,) in snapshot.errors.items()}
    assert kinds == {
        "broken.json": SpecError,
        "dangling.yaml": SpecFileError,
        "fifo.json": SpecFileError,
        "large.json": SpecFileError,
    }


def test_a_snapshot_stays_as_it_was_when_the_registry_is_refreshed(tmp_path):
    directory = SpecDirectory(tmp_path)
    registry = Registry([tmp_path])
    assert registry.snapshot == Snapshot((tmp_path,))
    directory.write(spec("a"))
    before = registry.refresh()
    directory.write(spec("b"))

    after = registry.refresh()

    assert (list(before.devices), list(after.devices)) == ([f"{KIND}=a"], [f"{KIND}=b"])
    assert registry.snapshot is after
    with pytest.raises(TypeError):
        before.devices["x"] = after.devices[f"{KIND}=b"]


def test_yaml_files_are_read_like_json_files(tmp_path):
    text = "cdiVersion: 0.5.0\nkind: acme.example/card\ndevices:\n- name: a\n  containerEdits:\n    env: [VALUE=1]\n"
    (tmp_path / "x.yaml").write_text(text)
    (tmp_path / "y.json").write_bytes(encode_spec(spec("b")))

    snapshot = Registry([tmp_path]).refresh()

    assert sorted(snapshot.devices) == [f"{KIND}=a", f"{KIND}=b"]
    assert (
        snapshot.find(f"{KIND}=a").device.container_edits
        == snapshot.find(f"{KIND}=b").device.container_edits
    )


def test_the_default_directories_are_those_of_the_specification():
    assert Registry().directories == (Path("/etc/cdi"), Path("/var/run/cdi"))


def test_a_bad_file_is_named_in_the_error(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"cdiVersion": "0.3.0", "kind": KIND, "devices": []}))

    with pytest.raises(SpecError) as caught:
        read_spec(path)

    assert str(caught.value).startswith(f"CDI spec file {path} is not valid: ")
    assert str(caught.value).endswith("devices: there are none; define at least one device")
