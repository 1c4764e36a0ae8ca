"""Directories and injection agree with the reference library, record by record, and when a record is changed."""

import copy
import gzip
import json
import os
from pathlib import Path

import pytest

from pydra_cdi import InjectionError, Registry, SpecBuilder, SpecDirectory, inject

DATA = Path(__file__).parent / "data"

# Reason -> records in which we differ on purpose. A record listed here that agrees fails the test too.
CACHE_DEVIATIONS = {
    "null inside a list is an error of that file: the library crashes": "cache-null-node-and-good",
}
INJECT_DEVIATIONS = {
    "permissions none leaves the cgroup rule out: runc refuses the library's rule without access": """
        inject-node-perm-none
    """,
    "two interfaces of one name are refused: the container could not start": """
        inject-net-two-devices-same-name
    """,
}


def records(name):
    text = gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.split("\n") if line]


def listed(deviations):
    return {record for names in deviations.values() for record in names.split()}


def check(differing, deviations):
    deliberate = listed(deviations)
    assert {name: why for name, why in differing.items() if name not in deliberate} == {}
    assert deliberate - set(differing) == set(), "these agree now: take them off the list"


def renamed(record):
    """The record with its vendor renamed wherever it stands; the new name sorts like the old one."""
    return json.loads(json.dumps(record).replace("vendor.com", "vendor.cox"))


def lay_out(base, directories):
    base.mkdir()
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


def place(path, priority):
    return {"path": path, "priority": priority}


def seen(snapshot, base, record):
    """What the reference library tells about the directories, told by us."""

    def of(loaded):
        return place(str(loaded.path.relative_to(base)), loaded.priority)

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
        "lookups": {name: device and of(device.origin) for name, device in found.items()},
        "vendor_specs": {
            v: [{"kind": s.spec.kind, **of(s)} for s in specs] for v, specs in by_vendor.items()
        },
    }


def expected(record):
    return {**record, "errors": {path: len(found) for path, found in record["errors"].items()}}


def directories_of(base, record):
    return [Path(os.path.normpath(base / name)) for name in record["spec_dirs"]]


def wrong(ours, wanted):
    return {key: (ours[key], wanted[key]) for key in ours if ours[key] != wanted[key]}


@pytest.mark.parametrize("change", [lambda record: record, renamed], ids=["recorded", "renamed"])
def test_directories_are_resolved_as_the_reference_library_does(tmp_path, change):
    differing = {}
    for record in map(change, records("cache")):
        base = tmp_path / record["id"]
        lay_out(base, record["dirs"])
        snapshot = Registry(directories_of(base, record)).refresh()
        if "panic" in record:
            differing[record["id"]] = record["panic"]
        elif found := wrong(seen(snapshot, base, record), expected(record)):
            differing[record["id"]] = found
    check(differing, CACHE_DEVIATIONS)


def test_a_directory_of_higher_priority_beats_every_record_unless_the_scan_ends_before_it(tmp_path):
    differing = {}
    for record in records("cache"):
        if "panic" in record:
            continue
        base = tmp_path / record["id"]
        lay_out(base, record["dirs"])
        directories = directories_of(base, record)
        before = Registry(directories).refresh()
        taken = next(iter([*record["devices"], *record["conflicts"]]), "vendor.com/device=a")
        kind, name = taken.split("=")
        spec = SpecBuilder(kind).device(name).env(N="1").done().device("zz-new").env(N="1").done()
        SpecDirectory(base / "zz-last").write_named(spec.build(), "zz.json")

        after = Registry([*directories, base / "zz-last"]).refresh()

        wanted = expected(record)
        if not before.unread:
            wanted = beaten(wanted, kind, taken, place("zz-last/zz.json", len(directories)))
        if found := wrong(seen(after, base, wanted), wanted):
            differing[record["id"]] = found
    assert differing == {}


def beaten(wanted, kind, taken, where):
    """What a later file that defines one device again, and a new one, makes of an answer."""
    vendor, device_class = kind.split("/")
    devices = {*wanted["devices"], f"{kind}=zz-new", *({taken} - {*wanted["conflicts"]})}
    specs = wanted["vendor_specs"].get(vendor, [])
    conflicting = taken in wanted["conflicts"]
    return {
        **wanted,
        "devices": sorted(devices),
        "vendors": sorted({*wanted["vendors"], vendor}),
        "classes": sorted({*wanted["classes"], device_class}),
        "lookups": {
            **wanted["lookups"],
            taken: None if conflicting else where,
            f"{kind}=zz-new": where,
        },
        "vendor_specs": {**wanted["vendor_specs"], vendor: [*specs, {"kind": kind, **where}]},
    }


def injected(oci_spec, device_ids, snapshot):
    """Inject and tell the outcome as the records do, with the OCI spec that the next step begins with."""
    before = copy.deepcopy(oci_spec)
    unresolved, ok = [], True
    try:
        after = inject(oci_spec, device_ids, snapshot)
    except InjectionError as error:
        ok, unresolved = False, list(error.device_ids)
        after = oci_spec if error.applied is None else error.applied
    assert oci_spec == before, "the OCI spec given must stay as it was"
    return {"ok": ok, "unresolved": unresolved, "oci_spec_out": after}


def snapshot_of(base, record):
    lay_out(base, record["dirs"])
    return Registry([base / directory["path"] for directory in record["dirs"]]).refresh()


@pytest.mark.parametrize("change", [lambda record: record, renamed], ids=["recorded", "renamed"])
def test_devices_are_injected_as_the_reference_library_does(tmp_path, change):
    differing = {}
    steps = 0
    for record in map(change, records("inject")):
        snapshot = snapshot_of(tmp_path / record["id"], record)
        oci_spec = record["oci_spec_in"]
        for step in [record, *record.get("then", [])]:
            outcome = injected(oci_spec, step["devices"], snapshot)
            oci_spec = outcome["oci_spec_out"]
            steps += 1
            if found := wrong(outcome, step):
                differing[record["id"]] = found
    check(differing, INJECT_DEVIATIONS)
    assert steps > 132


def test_a_device_more_that_nobody_defines_leaves_every_container_alone(tmp_path):
    for record in records("inject"):
        snapshot = snapshot_of(tmp_path / record["id"], record)
        wanted = [*record["devices"], "new.example/card=gone"]

        outcome = injected(record["oci_spec_in"], wanted, snapshot)

        lost = [one for one in record["devices"] if one not in snapshot.devices]
        assert not outcome["ok"], record["id"]
        assert outcome["oci_spec_out"] == record["oci_spec_in"], record["id"]
        if record["oci_spec_in"] is not None:
            assert outcome["unresolved"] == [*lost, "new.example/card=gone"], record["id"]


def test_a_variable_more_in_the_container_or_in_the_devices_is_a_variable_more_in_the_result(
    tmp_path,
):
    compared = 0
    for record in records("inject"):
        result = record["oci_spec_out"] or {}
        if not record["ok"] or "process" not in result or record["id"] in listed(INJECT_DEVIATIONS):
            continue
        base = tmp_path / record["id"]
        snapshot_of(base, record)
        more = SpecBuilder("new.example/card").device("x").env(NEW_LAST="1").done().build()
        directories = [base / directory["path"] for directory in record["dirs"]]
        SpecDirectory(base / "new").write(more)
        snapshot = Registry([*directories, base / "new"]).refresh()
        given = copy.deepcopy(record["oci_spec_in"])
        process = given.setdefault("process", {"user": {"uid": 0, "gid": 0}, "cwd": ""})
        process["env"] = ["NEW_FIRST=1", *(process.get("env") or [])]

        outcome = injected(given, [*record["devices"], "new.example/card=x"], snapshot)

        old = result["process"].get("env") or []
        wanted = {**result["process"], "env": ["NEW_FIRST=1", *old, "NEW_LAST=1"]}
        assert outcome["oci_spec_out"] == {**result, "process": wanted}, record["id"]
        compared += 1
    assert compared > 40
