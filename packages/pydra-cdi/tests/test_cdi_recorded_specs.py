"""Names, parsing, validation and versions agree with the reference library, record by record."""

import base64
import gzip
import json
from pathlib import Path

import msgspec
import pytest
import yaml

from pydra_cdi import (
    QualifiedName,
    SpecError,
    _yaml,
    decode_spec,
    encode_spec,
    find_faults,
    minimum_version,
    names,
)
from pydra_cdi._edits_rules import env_faults
from pydra_cdi.codec import read_text

DATA = Path(__file__).parent / "data"

# Reason -> records in which we differ on purpose. A record listed here that agrees fails the test too.
DEVIATIONS = {
    "an empty `schemata` is kept when encoding, because its presence needs 1.1.0": """
        feat-rdt-schemata-empty-1.1.0
    """,
}
DELIBERATE = {record for records in DEVIATIONS.values() for record in records.split()}


def records(name):
    text = gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.split("\n") if line]


SPECS = records("specs")


def document(record):
    if "text_b64" in record:
        return base64.b64decode(record["text_b64"])
    parts = record.get("text_parts") or [[record["text"], 1]]
    return "".join(part * count for part, count in parts).encode()


def stage_of(data):
    """Read as runtimes do; returns the stage that refuses, the spec if it can be read, its accidents."""
    try:
        reading = read_text(data)
    except SpecError:
        return "parse", None, ()
    return "validate" if find_faults(reading.spec) else None, reading.spec, reading.accidents


def difference(record):
    """Say in what the record and we differ, or nothing."""
    stage, spec, _ = stage_of(document(record))
    if "panic" in record:
        return "accepted where the library crashes" if stage is None else None
    if stage != record["stage"]:
        return f"stage {stage}"
    if spec is not None and minimum_version(spec) != record["minimum_version"]:
        return f"minimum version {minimum_version(spec)}"
    return content_difference(spec, record) if record["valid"] else None


def content_difference(spec, record):
    encoded = json.loads(encode_spec(spec))
    encoded.setdefault("containerEdits", {})  # Go always writes it
    if encoded != record.get("parsed", encoded):
        return f"parsed as {encoded}"
    devices = [str(spec.device_id(device)) for device in spec.devices]
    if (spec.vendor, spec.device_class, devices) != tuple(
        record[k] for k in ("vendor", "class", "devices")
    ):
        return f"names {devices}"
    return None


def renamed(record):
    """The record with its vendor renamed wherever it stands, in the text and in what is expected of it."""
    if "text_b64" in record:
        data = document(record)
        for encoding in "utf-8", "utf-16le", "utf-16be":
            data = data.replace(*(name.encode(encoding) for name in ("vendor.com", "vendor.cox")))
        record = {**record, "text_b64": base64.b64encode(data).decode()}
    text = json.dumps(record).replace("vendor.com", "vendor.cox")
    return json.loads(text.replace("acme.com", "acme.cox"))


@pytest.mark.parametrize("change", [lambda record: record, renamed], ids=["recorded", "renamed"])
def test_specs_are_read_and_judged_as_the_reference_library_does(change):
    differing = {r["id"]: found for r in map(change, SPECS) if (found := difference(r))}

    assert {name: why for name, why in differing.items() if name not in DELIBERATE} == {}
    assert DELIBERATE - set(differing) == set(), "these agree now: take them off the list"
    assert len(SPECS) == 732


def test_decoding_refuses_what_the_reference_library_refuses_and_says_where():
    for record in SPECS:
        if record["valid"]:
            decode_spec(document(record))
            continue
        with pytest.raises(SpecError) as caught:
            decode_spec(document(record))
        assert caught.value.faults, record["id"]
        assert all(fault.line and fault.column for fault in caught.value.faults), record["id"]


def test_pyyaml_without_libyaml_reads_the_same(monkeypatch):
    """Where PyYAML was built without its C library, its Python parser stands in; slower, with the same verdicts."""
    monkeypatch.setattr(_yaml, "_LOADER", yaml.SafeLoader)
    lexical = [r for r in SPECS if r["id"].startswith(("yaml-quoted", "doc-", "num-"))]

    assert {r["id"]: found for r in lexical if (found := difference(r))} == {}
    assert len(lexical) == 77


def strict_json(record):
    """The document as a strict JSON reader has it; None if it is not JSON or holds a key twice."""

    def once(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    try:
        return json.loads(document(record).decode(), object_pairs_hook=once)
    except ValueError:
        return None


def without_zero_values(tree):
    """What Go leaves out when it encodes; `0` and `""` are left in lists, in annotations and behind pointers."""
    if isinstance(tree, list):
        return [without_zero_values(entry) for entry in tree]
    if not isinstance(tree, dict):
        return tree
    kept = {"uid", "gid", "fileMode", "timeout"}
    kept_empty = {"name", "containerEdits", "intelRdt"}
    return {
        key: value if key == "annotations" else without_zero_values(value)
        for key, value in tree.items()
        if value or (value is not None and key in kept | kept_empty)
    }


def test_nothing_is_read_otherwise_than_written_without_an_accident():
    """Where a strict JSON reader and the reference library see different specs, an accident is reported."""
    judged = [r for r in SPECS if r["valid"] and "parsed" in r and strict_json(r) is not None]
    silent, needless = [], []
    for record in judged:
        parsed = {key: value for key, value in record["parsed"].items() if value}
        written = {k: v for k, v in without_zero_values(strict_json(record)).items() if v}
        accidents = read_text(document(record)).accidents
        if not accidents and written != without_zero_values(parsed):
            silent.append(record["id"])
        if accidents and written == without_zero_values(parsed):
            needless.append(record["id"])

    assert (silent, needless) == ([], [])
    assert len(judged) == 238


def test_what_is_read_and_written_again_is_the_same_spec_without_accidents():
    for record in (r for r in SPECS if r["valid"]):
        spec = decode_spec(document(record))
        data = encode_spec(spec)
        assert decode_spec(data) == spec, record["id"]
        assert read_text(data).accidents == (), record["id"]


def test_minimum_versions_are_those_of_the_reference_library():
    for record in records("minversion"):
        spec = read_text(json.dumps(record["spec"], ensure_ascii=False).encode()).spec
        assert minimum_version(spec) == record["minimum_version"], record["id"]

        declared = msgspec.structs.replace(spec, cdi_version=record["minimum_version"])
        accepted = not any(fault.path == "cdiVersion" for fault in find_faults(declared))
        assert accepted == record["validates_at_minimum"], record["id"]


def vendor_class_name(text):
    try:
        name = QualifiedName.parse(text)
    except SpecError:
        return {"vendor": "", "class": "", "name": text}
    assert str(name) == text
    return {"vendor": name.vendor, "class": name.device_class, "name": name.name}


def parts_of(function, given):
    match function:
        case "qualified":
            return vendor_class_name(given)
        case "split":
            return dict(zip(("vendor", "class", "name"), names.split_device_id(given), strict=True))
        case "kind":
            return dict(zip(("vendor", "class"), names.split_kind(given), strict=True))
        case _:
            return {"qualified": names.join_device_id(*given)}


CHECKS = {
    "vendor": lambda text: names.vendor_fault("", text),
    "class": lambda text: names.class_fault("", text),
    "device": lambda text: names.device_fault("", text),
    "env": lambda text: next(env_faults([text], ""), None),
}


@pytest.mark.parametrize("function", [*CHECKS, "qualified", "split", "kind", "qualify"])
def test_names_are_judged_and_taken_apart_as_the_reference_library_does(function):
    judged = [r for r in records("names") if r["function"] == function]

    for record in judged:
        if function in CHECKS:
            assert (CHECKS[function](record["input"]) is None) == record["ok"], record
        else:
            found = parts_of(function, record["input"])
            assert found == record["parts"], record
            has_vendor = function == "qualify" or found["vendor"] != ""
            assert has_vendor == record["ok"], record
    assert judged
