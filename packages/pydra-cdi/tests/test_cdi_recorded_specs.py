"""Names, parsing, validation and versions agree with the reference library, record by record."""

import base64
import gzip
import json
from pathlib import Path

import msgspec

from pydra_cdi import (
    QualifiedName,
    SpecError,
    decode_spec,
    encode_spec,
    find_faults,
    minimum_version,
    names,
)
from pydra_cdi._edits_rules import env_faults
from pydra_cdi.codec import parse_spec

DATA = Path(__file__).parent / "data"

# Reason -> records in which we differ on purpose. A record listed here that agrees fails the test too.
DEVIATIONS = {
    "a number or boolean where text belongs is refused: the library turns `010` into the name `8`": """
        ann-bigint-val ann-boolkey ann-dev-num-val ann-hex-val ann-inf-val ann-intkey ann-nan-val ann-octal-val
        ann-spec-bool-val ann-spec-float-val devname-type-bool devname-type-float devname-type-zeroint
        hook-args-bool hook-args-number mount-host-number mount-opts-bool mount-type-number net-number
        node-path-number yaml-merge-list yaml-name-bool yaml-name-hex yaml-name-int yaml-name-octal yaml-name-off
        yaml-name-plain-uuid yaml-name-y
    """,
    "field names are spelled as the specification spells them: the library ignores letter case": """
        case-CDIVersion case-Devices case-KIND case-both-rev case-containeredits case-fold-unicode
        rdt-closid-goname rdt-closid-lower unk-edits-gids-go-name
    """,
    "null inside a list is refused: the library takes it for an empty string or 0, or crashes": """
        mount-opts-nullentry type-gids-nullentry
    """,
    "a file holds one document: what the library ignores after it may be somebody's devices": """
        doc-trailing-garbage doc-two-objects-nl yaml-two-docs yaml-two-docs-second-bad
        yaml-two-docs-second-semantic
    """,
    "an empty `schemata` is kept when encoding, because its presence needs 1.1.0": """
        feat-rdt-schemata-empty-1.1.0
    """,
    "binary data is no text": "yaml-binary-ann",
}
DELIBERATE = {record for records in DEVIATIONS.values() for record in records.split()}


def records(name):
    text = gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.split("\n") if line]


def document(record):
    if "text_b64" in record:
        return base64.b64decode(record["text_b64"])
    parts = record.get("text_parts") or [[record["text"], 1]]
    return "".join(part * count for part, count in parts).encode()


def difference(record):
    """Say in what the record and we differ, or nothing."""
    try:
        parsed = parse_spec(document(record))
    except SpecError as error:
        return f"refused: {error}" if record["valid"] else None
    if minimum_version(parsed) != (record["minimum_version"] or minimum_version(parsed)):
        return f"minimum version {minimum_version(parsed)}"
    if faults := find_faults(parsed):
        return f"refused: {faults}" if record["valid"] else None
    return "accepted" if not record["valid"] else content_difference(parsed, record)


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


def test_specs_are_read_and_judged_as_the_reference_library_does():
    differing = {r["id"]: found for r in records("specs") if (found := difference(r))}

    assert {name: why for name, why in differing.items() if name not in DELIBERATE} == {}
    assert DELIBERATE - set(differing) == set(), "these agree now: take them off the list"


def test_what_is_read_and_written_again_is_the_same_spec():
    valid = [r for r in records("specs") if r["valid"] and r["id"] not in DELIBERATE]

    for record in valid:
        spec = decode_spec(document(record))
        assert decode_spec(encode_spec(spec)) == spec, record["id"]
    assert len(valid) == 258


def test_minimum_versions_are_those_of_the_reference_library():
    for record in records("minversion"):
        spec = parse_spec(json.dumps(record["spec"], ensure_ascii=False).encode())
        assert minimum_version(spec) == record["minimum_version"], record["id"]

        declared = msgspec.structs.replace(spec, cdi_version=record["minimum_version"])
        accepted = not any(fault.path == "cdiVersion" for fault in find_faults(declared))
        assert accepted == record["validates_at_minimum"], record["id"]


def test_names_and_variables_are_judged_as_the_reference_library_does():
    checks = {
        "vendor": lambda text: names.vendor_fault("", text),
        "class": lambda text: names.class_fault("", text),
        "device": lambda text: names.device_fault("", text),
        "env": lambda text: next(env_faults([text], ""), None),
    }
    judged = [r for r in records("names") if r["function"] in checks]

    for record in judged:
        assert (checks[record["function"]](record["input"]) is None) == record["ok"], record
    assert len(judged) == 120


def test_device_ids_are_taken_apart_as_the_reference_library_does():
    for record in (r for r in records("names") if r["function"] == "qualified"):
        try:
            name = QualifiedName.parse(record["input"])
        except SpecError:
            assert not record["ok"], record
        else:
            assert record["ok"], record
            parts = {"vendor": name.vendor, "class": name.device_class, "name": name.name}
            assert parts == record["parts"], record
            assert str(name) == record["input"]
