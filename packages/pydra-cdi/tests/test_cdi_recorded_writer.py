"""Spec files are named, written and removed as the reference library does it, save that none leaves its directory."""

import gzip
import json
import stat
from pathlib import Path

import pytest

from pydra_cdi import Registry, Spec, SpecDirectory, SpecError
from pydra_cdi.codec import parse_spec
from pydra_cdi.file_names import (
    name_for_spec,
    name_for_transient_spec,
    static_name,
    transient_name,
)

RECORDED = gzip.decompress((Path(__file__).parent / "data/writer.jsonl.gz").read_bytes())
RECORDS = [json.loads(line) for line in RECORDED.decode().split("\n") if line]
WRITTEN = [record for record in RECORDS if "write" in record]

# Records in which the library writes beside the directory it was given; we refuse the name.
REFUSED = {"writer-write-named-traversal", "writer-write-named-empty", "writer-write-named-dot"}


def spec_of(record):
    if "spec" in record:
        return parse_spec(json.dumps(record["spec"]).encode())
    return Spec("0.3.0", f"{record['vendor']}/{record['class']}", [])


def named(function, *given):
    try:
        return function(*given), False
    except SpecError:
        return "", True


def names(record):
    """Our names in the words of the record."""
    spec, parts = spec_of(record), (record["vendor"], record["class"])
    name, failed = named(name_for_spec, spec)
    found = {
        "static_name": static_name(*parts),
        "name_for_spec": name,
        "name_for_spec_error": failed,
    }
    if "transient_id" in record:
        name, failed = named(name_for_transient_spec, spec, record["transient_id"])
        found["transient_name"] = transient_name(*parts, record["transient_id"])
        found["name_for_transient_spec"] = name
        found["name_for_transient_spec_error"] = failed
    return found


def expected_names(record):
    keys = names(record).keys()
    return {key: bool(record[key]) if key.endswith("error") else record[key] for key in keys}


def write(record, place):
    """Write and remove as the record does; tell the outcome in its words."""
    directories = [place / "dir0", place / "dir1"]
    directory = SpecDirectory(directories[1])
    spec = spec_of(record)
    name = record.get("name")
    if name is None and "transient_id" in record:
        name = name_for_transient_spec(spec, record["transient_id"])
    outcome = {"write_error": False}
    try:
        directory.write_named(spec, name_for_spec(spec) if name is None else name)
    except SpecError:
        outcome["write_error"] = True
    outcome["files"] = written(place)
    outcome["devices_after"] = sorted(Registry(directories).refresh().devices)
    if "remove" in record:
        directory.remove_named(record["remove"])
        outcome["files_after_remove"] = len(written(place))
    return outcome


def written(place):
    found = [path for path in sorted(place.rglob("*")) if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} <= {0o644}, "others must read them"
    return [{"path": str(p.relative_to(place)), "text": p.read_bytes().decode()} for p in found]


def expected(record):
    files = [{key: file[key] for key in ("path", "text")} for file in record["files"]]
    after = {key: record[key] for key in ("files_after_remove",) if key in record}
    error = bool(record["write_error"])
    return {
        "write_error": error,
        "files": files,
        "devices_after": record["devices_after"],
        **after,
    }


def changed(record, old, new):
    return json.loads(json.dumps(record).replace(old, new))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["id"])
def test_files_are_named_as_recorded(record):
    assert names(record) == expected_names(record)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["id"])
def test_another_vendor_and_another_id_give_another_name(record):
    device_class = record["class"]
    other = {"vendor": "Other9", "class": device_class, "transient_id": "a/x.y"}
    static = f"Other9-{device_class}"
    assert names(other) == {
        "static_name": static,
        "transient_name": f"{static}_a_x.y",
        "name_for_spec": static if device_class else "",
        "name_for_spec_error": not device_class,
        "name_for_transient_spec": f"{static}_a_x.y" if device_class else "",
        "name_for_transient_spec_error": not device_class,
    }


@pytest.mark.parametrize("record", WRITTEN, ids=lambda record: record["id"])
def test_files_are_written_as_recorded_and_readable_for_all(tmp_path, record):
    place = tmp_path / "above" / "place"
    place.mkdir(parents=True)

    outcome = write(record, place)

    if record["id"] in REFUSED:
        assert outcome == {"write_error": True, "files": [], "devices_after": []}
        assert all(not file["path"].startswith("dir1/") for file in record["files"])
    else:
        assert outcome == expected(record)
    assert [path.name for path in (tmp_path / "above").iterdir()] == ["place"]


@pytest.mark.parametrize(
    "record", [r for r in WRITTEN if r["id"] not in REFUSED], ids=lambda record: record["id"]
)
@pytest.mark.parametrize(
    ("old", "new"),
    [("A=b", "A=other"), ("vendor.com", "other.net"), ("dev1", "dev-2"), ("/dev/x", "/dev/y z")],
)
def test_files_follow_what_is_changed_in_the_spec(tmp_path, record, old, new):
    record = changed(record, old, new)
    assert write(record, tmp_path) == expected(record)
