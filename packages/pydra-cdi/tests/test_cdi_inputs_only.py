"""The engine decides by rules: nothing that was recorded stands in its source."""

import gzip
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCE = {path: path.read_text() for path in (HERE.parent / "src").rglob("*.py")}
FILES = sorted((HERE / "data").glob("*.jsonl.gz"))
TELLING = 25
"""Characters from which on two texts are not alike by chance."""


def records(path):
    return [json.loads(line) for line in gzip.open(path, "rt").read().split("\n") if line]


def sentences(value, *, told=False):
    """Every text of a record that the library wrote for people, as a whole and between its colons."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from sentences(member, told=told or "error" in key or key == "panic")
    elif isinstance(value, list):
        for member in value:
            yield from sentences(member, told=told)
    elif told and isinstance(value, str):
        yield from (value, *value.split(": "))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_name_of_a_record_and_no_recorded_sentence_stands_in_the_source(path):
    recorded = records(path)
    named = {record["id"] for record in recorded if "id" in record}
    said = {text for record in recorded for text in sentences(record) if len(text) > TELLING}
    assert len(named) > 30 or path.name.startswith(("names", "annotations"))
    assert said or path.name.startswith("minversion")

    found = {
        (str(file), text) for file, code in SOURCE.items() for text in named | said if text in code
    }

    assert found == set()


def test_the_source_reads_no_recording():
    assert len(SOURCE) > 50
    assert len(FILES) == 7
    for file, code in SOURCE.items():
        assert "jsonl" not in code, file
        assert "gzip" not in code, file
