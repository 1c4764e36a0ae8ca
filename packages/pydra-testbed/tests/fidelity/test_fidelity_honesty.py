"""The parts of the testbed know no recordings: neither a record's name nor a recorded sentence stands in their source."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SOURCES = sorted((TESTS.parent / "src").rglob("*.py"))
DATA = sorted(TESTS.glob("*/data/*.jsonl.gz"))
INPUTS = {"object", "old_object", "raw_body", "expression", "device", "slices", "claims", "pods"}
LONG = 40


@pytest.fixture(scope="module")
def source():
    return "\n".join(path.read_text() for path in SOURCES)


@pytest.fixture(scope="module")
def records():
    lines = (line for path in DATA for line in gzip.decompress(path.read_bytes()).splitlines())
    return [json.loads(line) for line in lines]


def test_no_name_of_a_record_stands_in_the_source(source, records):
    words = set(re.findall(r"[\w-]+", source))
    names = {record.get("id") or record.get("name") for record in records}
    assert len(names) > 2000
    assert {name for name in names if re.search(r"\d{3}$", str(name))} & words == set()


def test_no_note_and_no_long_input_of_a_record_stands_in_the_source(source, records):
    """What Kubernetes answers is fixed text and may stand there; what recorders wrote may not."""
    plain = re.sub(r'"\s*\n\s*f?"', "", source)
    texts = {
        text for record in records for text in _written(record) if len(text) >= LONG and " " in text
    }
    assert len(texts) > 500
    assert [text for text in texts if text in plain] == []


def _written(record):
    for key, value in record.items():
        if key in {"note", "quirk"}:
            yield str(value)
        elif key in INPUTS:
            yield from _strings(value)


def _strings(value):
    if isinstance(value, str):
        yield value
    for item in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _strings(item)
