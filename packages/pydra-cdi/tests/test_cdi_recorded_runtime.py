"""Directories, injection and writing agree with the reference library, record by record."""

import copy
import gzip
import json
import os
import stat
from pathlib import Path

import pytest

from pydra_cdi import (
    InjectionError,
    Registry,
    SpecDirectory,
    SpecError,
    UnresolvedDevicesError,
    encode_spec,
    inject,
)
from pydra_cdi.codec import parse_spec
from pydra_cdi.file_names import spec_file_name

DATA = Path(__file__).parent / "data"

# Reason -> records in which we differ on purpose. A record listed here that agrees fails the test too.
CACHE_DEVIATIONS = {
    "a spec directory that is no directory is reported and later ones are read: the library stops silently": """
        cache-dir-is-file cache-dir-is-file-last cache-dir-is-file-middle cache-dir-is-spec-file
        cache-dir-under-file
    """,
    "a second document in a file is an error, not ignored": "cache-two-docs",
    "null inside a list is an error of that file: the library crashes": "cache-null-node-and-good",
}
INJECT_DEVIATIONS = {
    "permissions none leaves the cgroup rule out: runc refuses the library's rule without access": """
        inject-node-perm-none
    """,
    "two interfaces of one name are refused: the container could not start": """
        inject-net-two-devices-same-name
    """,
    "without an OCI spec nothing is looked up, so no device is called unresolved": "inject-nil-oci",
}
WRITER_DEVIATIONS = {
    "the encoding is always JSON and the suffix always added: the library takes a class for a suffix": """
        writer-write-class-json writer-write-class-yaml
    """,
    "names that lead out of the directory are refused, not generated": "writer-name-17",
    "names without vendor and class are refused, not generated": "writer-name-14 writer-name-16",
}


def records(name):
    text = gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.split("\n") if line]


def check(differing, deviations):
    deliberate = {record for listed in deviations.values() for record in listed.split()}
    assert {name: why for name, why in differing.items() if name not in deliberate} == {}
    assert deliberate - set(differing) == set(), "these agree now: take them off the list"


def lay_out(base, directories):
    for directory in directories:
        path = base / directory["path"]
        if "symlink" in directory:
            path.symlink_to(directory["symlink"])
        elif "is_file" in directory:
            path.write_text(directory["is_file"])
        elif not directory.get("missing"):
            path.mkdir(parents=True)
            for file in directory["files"]:
                lay_out_file(path / file["name"], file)


def lay_out_file(path, file):
    path.parent.mkdir(exist_ok=True)
    if "symlink" in file:
        path.symlink_to(file["symlink"])
    elif file.get("dir"):
        path.mkdir()
    else:
        path.write_text(file["text"], encoding="utf-8")


def seen(snapshot, base, record):
    """What the reference library tells about the directories, told by us."""

    def place(loaded):
        return {"path": str(loaded.path.relative_to(base)), "priority": loaded.priority}

    found = {name: snapshot.find(name) for name in record["lookups"]}
    by_vendor = {v: [s for s in snapshot.specs if s.spec.vendor == v] for v in snapshot.vendors}
    return {
        "devices": sorted(snapshot.devices),
        "conflicts": sorted(snapshot.conflicts),
        "vendors": list(snapshot.vendors),
        "classes": list(snapshot.classes),
        "refresh_ok": not snapshot.errors,
        "errors": {
            str(path.relative_to(base)): len(found) for path, found in snapshot.errors.items()
        },
        "lookups": {name: device and place(device.origin) for name, device in found.items()},
        "vendor_specs": {
            v: [{"kind": s.spec.kind, **place(s)} for s in of] for v, of in by_vendor.items()
        },
    }


def test_directories_are_resolved_as_the_reference_library_does(tmp_path):
    differing = {}
    for record in records("cache"):
        base = tmp_path / record["id"]
        base.mkdir()
        lay_out(base, record["dirs"])
        directories = [Path(os.path.normpath(base / name)) for name in record["spec_dirs"]]
        snapshot = Registry(directories).refresh()
        if "panic" in record:
            differing[record["id"]] = record["panic"]
            continue
        expected = {
            **record,
            "errors": {path: len(found) for path, found in record["errors"].items()},
        }
        ours = seen(snapshot, base, record)
        if wrong := {key: (ours[key], expected[key]) for key in ours if ours[key] != expected[key]}:
            differing[record["id"]] = wrong
    check(differing, CACHE_DEVIATIONS)


def injected(oci_spec, step, snapshot):
    """Inject and tell the outcome as the records do, with the OCI spec that the next step begins with."""
    before = copy.deepcopy(oci_spec)
    unresolved, ok, after = [], True, oci_spec
    try:
        after = inject(oci_spec, step["devices"], snapshot)
    except UnresolvedDevicesError as error:
        ok, unresolved = False, list(error.device_ids)
    except InjectionError:
        ok = False
    assert oci_spec == before, "the OCI spec given must stay as it was"
    return {"ok": ok, "unresolved": unresolved, "oci_spec_out": after}


def test_devices_are_injected_as_the_reference_library_does(tmp_path):
    differing = {}
    steps = 0
    for record in records("inject"):
        base = tmp_path / record["id"]
        base.mkdir()
        lay_out(base, record["dirs"])
        snapshot = Registry([base / directory["path"] for directory in record["dirs"]]).refresh()
        oci_spec = record["oci_spec_in"]
        for step in [record, *record.get("then", [])]:
            outcome = injected(oci_spec, step, snapshot)
            oci_spec = outcome["oci_spec_out"]
            steps += 1
            if outcome != {key: step[key] for key in outcome}:
                differing[record["id"]] = outcome
    check(differing, INJECT_DEVIATIONS)
    assert steps > 132


def test_files_are_named_as_the_reference_library_names_them():
    differing = {}
    for record in records("writer"):
        kind = f"{record['vendor']}/{record['class']}"
        ours = []
        for key in {"transient_id"} & record.keys() or {None}:
            try:
                ours.append((spec_file_name(kind), key and spec_file_name(kind, record[key])))
            except SpecError as error:
                differing[record["id"]] = str(error)
        for static, transient in ours:
            wanted = record.get("transient_name")
            if (static, transient) != (
                f"{record['static_name']}.json",
                wanted and f"{wanted}.json",
            ):
                differing[record["id"]] = (static, transient)
    check(differing, {reason: r for reason, r in WRITER_DEVIATIONS.items() if "writer-name" in r})


@pytest.mark.parametrize(
    "record", [r for r in records("writer") if "write" in r], ids=lambda r: r["id"]
)
def test_files_are_written_as_the_reference_library_writes_them(tmp_path, record):
    spec = parse_spec(json.dumps(record["spec"]).encode())
    directory = SpecDirectory(tmp_path / "dir1")
    try:
        path = directory.write(spec, record.get("transient_id")).path
    except SpecError:
        assert record["write_error"]
        assert not directory.path.exists()
        return
    (file,) = record["files"]
    stem = Path(file["path"]).stem
    deviates = any(record["id"] in listed for listed in WRITER_DEVIATIONS.values())
    assert deviates == (path.name != f"{stem}.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, (
        "the library writes 0600, which others cannot read"
    )
    assert path.read_bytes() == encode_spec(spec)
    snapshot = Registry([tmp_path / "dir0", tmp_path / "dir1"]).refresh()
    assert sorted(snapshot.devices) == record["devices_after"]
    if record.get("remove", "").startswith(stem):
        assert directory.remove(spec.kind, record.get("transient_id"))
        assert len(list(directory.path.iterdir())) == record["files_after_remove"]
