"""The exported JSON Schema accepts what is strictly written and valid, and refuses what a schema can judge."""

import gzip
import json
from pathlib import Path

import jsonschema
import pytest

from pydra_cdi import SpecError, decode_spec, encode_spec, find_faults
from pydra_cdi.codec import read_text
from pydra_cdi.schema import json_schema

DATA = Path(__file__).parent / "data"
# What of a refused spec no schema can see: relations between fields, lengths in bytes.
BEYOND_A_SCHEMA = ("is too low", "already", "are too many", "more than the YAML parser")


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def json_records():
    """Recorded specs that are strict JSON and hold no null, which only Go writers leave."""
    text = gzip.decompress((DATA / "specs.jsonl.gz").read_bytes()).decode()
    for line in filter(None, text.split("\n")):
        record = json.loads(line)
        try:
            tree = json.loads(record.get("text", ""))
        except ValueError:
            continue
        if "null" not in record["text"]:
            yield record, tree


def test_every_valid_spec_that_is_strictly_written_fits_the_schema(validator):
    count = 0
    for record, tree in json_records():
        if record["valid"] and not read_text(record["text"].encode()).accidents:
            assert list(validator.iter_errors(tree)) == [], record["id"]
            count += 1
    assert count == 200


def test_every_refused_spec_breaks_the_schema_unless_no_schema_can_judge_it(validator):
    count = 0
    for record, tree in json_records():
        if record["valid"]:
            continue
        try:
            faults = find_faults(read_text(record["text"].encode()).spec)
        except SpecError as error:
            faults = error.faults
        judged = [
            f for f in faults if f.path and not any(words in f.message for words in BEYOND_A_SCHEMA)
        ]
        if judged:
            assert not validator.is_valid(tree), (record["id"], judged)
            count += 1
    assert count == 208


def test_what_we_write_fits_the_schema_whatever_was_read(validator):
    for record, _ in json_records():
        if record["valid"]:
            spec = decode_spec(record["text"].encode())
            assert list(validator.iter_errors(json.loads(encode_spec(spec)))) == [], record["id"]


def test_every_field_is_described_and_no_field_is_free():
    definitions = json_schema()["$defs"]

    assert set(definitions) == {
        "Spec",
        "Device",
        "ContainerEdits",
        "DeviceNode",
        "NetDevice",
        "Hook",
        "Mount",
        "IntelRdt",
    }
    for definition in definitions.values():
        assert definition["additionalProperties"] is False
        assert all(
            field["description"].endswith(".") for field in definition["properties"].values()
        )
