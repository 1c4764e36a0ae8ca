"""How outcomes are counted, and what the command says of data it cannot use."""

from __future__ import annotations

import gzip
import json

import pytest

from pydra_core.cli import main
from pydra_core.errors import ConfigError
from pydra_testbed.fidelity import files
from pydra_testbed.fidelity.model import Outcome
from pydra_testbed.fidelity.score import FileScore
from pydra_testbed.fidelity.worker import changed, outcomes


class Adder:
    """Plays records `{id, a, b, sum}` by adding; breaks at `a` being no number, forgets those with `b` None."""

    async def replay(self, records):
        for record in records:
            if record["b"] is None:
                return
            total = record["a"] + record["b"]
            wrong = () if total == record["sum"] else (f"sum: {total}",)
            yield Outcome(record["id"], "sums", wrong)

    def changed(self, record):
        if not isinstance(record["a"], int):
            return None
        return {**record, "a": record["a"] + 7, "sum": record["sum"] + 7}


def record(name, a, b, total):
    return {"id": name, "area": "sums", "a": a, "b": b, "sum": total}


async def played(*records):
    return [o async for o in outcomes(Adder(), records)]


async def test_every_record_gets_one_outcome_even_when_the_replayer_breaks_or_ends_early():
    found = await played(
        record("a", 1, 2, 3), record("b", "x", 1, 1), record("c", 1, 1, 3), record("d", 1, None, 1),
        record("e", 2, 2, 4),
    )  # fmt: skip
    assert [(o.record, o.agrees) for o in found] == [
        ("a", True), ("b", False), ("c", False), ("d", False), ("e", True),
    ]  # fmt: skip
    assert found[1].differences[0].startswith("broke: TypeError")
    assert found[1].area == "sums"


async def test_a_replayer_that_breaks_at_the_last_record_costs_that_one_alone():
    assert [o.agrees for o in await played(record("a", 1, 2, 3), record("b", "x", 1, 1))] == [
        True, False,
    ]  # fmt: skip


async def test_changed_records_are_played_by_the_changed_answer():
    others, broken = changed(Adder(), [record("a", 1, 2, 3), record("b", "x", 1, 1)])
    assert broken == []
    assert [o.agrees for o in await played(*others)] == [True]


def test_a_record_that_cannot_be_changed_is_a_miss_and_stops_nothing():
    others, (miss,) = changed(Adder(), [{"id": "z"}, record("a", 1, 2, 3)])
    assert [other["id"] for other in others] == ["a"]
    assert (miss.record, miss.differences) == ("z", ("cannot be changed: KeyError: 'a'",))


@pytest.mark.parametrize(("misses", "passes"), [(2, True), (3, False)])
def test_a_file_passes_from_98_percent_on(misses, passes):
    score = FileScore("x")
    for number in range(100):
        score.recorded.add(Outcome(str(number), "", ("differs",) if number < misses else ()))
    assert (score.recorded.agreeing, score.passes) == (100 - misses, passes)


def test_one_miss_among_changed_records_counts_like_one_among_the_recorded():
    score = FileScore("x")
    score.recorded.add(Outcome("a", ""))
    score.changed.add(Outcome("a", "", ("differs",)))
    assert not score.passes


def test_records_are_found_plain_or_compressed_in_the_folder_or_its_kubernetes(tmp_path):
    folder = tmp_path / "kubernetes"
    folder.mkdir()
    (folder / "lifecycle.jsonl").write_text('{"id": "a"}\n\n{"name": "b"}\n')
    (folder / "allocations.jsonl.gz").write_bytes(gzip.compress(b'{"id": "c"}\n'))
    paths = files.find(tmp_path, [])
    assert [p.name for p in paths] == ["allocations.jsonl.gz", "lifecycle.jsonl"]
    assert paths == files.find(folder, [])
    assert [files.name_of(r) for p in paths for r in files.read(p)] == ["c", "a", "b"]
    assert files.find(tmp_path, ["lifecycle"]) == files.find(tmp_path, ["lifecycle.jsonl"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n", "allocations.jsonl holds no record"),
        (b"{not json}", "allocations.jsonl:1: is no JSON"),
        (b'{"id": "a"}\n[1]', "allocations.jsonl:2: is no record"),
        (b'{"note": "x"}', "allocations.jsonl:1: is no record"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, content, says):
    (tmp_path / "allocations.jsonl").write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        files.read(tmp_path / "allocations.jsonl")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--file", "nothing"], "nothing: no such recording; there are api-verdicts"),
        (["--file", "lifecycle"], "holds no lifecycle.jsonl and no lifecycle.jsonl.gz"),
        ([], "holds no recordings"),
    ],
)
def test_the_command_exits_with_2_and_says_what_is_missing(tmp_path, capsys, arguments, says):
    with pytest.raises(SystemExit) as ended:
        main(argv=["testbed", "fidelity", "--data", str(tmp_path), *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_damaged_data_exits_with_2_before_anything_is_played(tmp_path, capsys):
    (tmp_path / "lifecycle.jsonl.gz").write_bytes(
        gzip.compress(json.dumps({"id": "a"}).encode())[:-6]
    )
    with pytest.raises(SystemExit) as ended:
        main(argv=["testbed", "fidelity", "--data", str(tmp_path)])
    assert ended.value.code == 2
    assert "lifecycle.jsonl.gz cannot be read" in capsys.readouterr().err
