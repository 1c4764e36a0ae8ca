"""`pydra testbed fidelity` over all recordings the repository holds, and over recordings that were tampered with.

The tests of the testbed play every record. Here a sample of the long files is enough.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from thoroughness import sample

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "packages" / "pydra-testbed" / "tests"
FILES = {
    "api-verdicts": "api",
    "cel-verdicts": "cel",
    "allocations": "scheduler",
    "lifecycle": "controllers",
    "ssa-compute": "api",
    "deviceplugin": "kubelet",
}
LONG = 100


def fidelity(folder, *flags):
    command = [sys.executable, "-m", "pydra_core", "testbed", "fidelity", "--data", str(folder)]
    return subprocess.run([*command, *flags], capture_output=True, text=True, check=False)


def recording(name):
    return TESTS / FILES[name] / "data" / f"{name}.jsonl.gz"


def shorten(file, folder):
    """Copy one in six records of a long file, and the first of each area."""
    lines = gzip.decompress(file.read_bytes()).splitlines()
    if len(lines) < LONG:
        shutil.copy(file, folder)
        return
    if "scenario" in json.loads(lines[0]):  # a log: each line needs those before it
        shutil.copy(file, folder)
        return
    taken = sample(lines, of=6, kind=lambda line: json.loads(line).get("area"))
    (folder / file.name).write_bytes(gzip.compress(b"\n".join(taken)))


@pytest.mark.timeout(240)
def test_every_file_agrees_to_98_percent_and_every_miss_is_told_with_its_reason(tmp_path):
    page = (ROOT / "docs" / "dev" / "fidelity.md").read_text()
    for name in FILES:
        shorten(recording(name), tmp_path)
    done = fidelity(tmp_path, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    played = json.loads(done.stdout)
    assert [file["file"] for file in played["files"]] == [f"{name}.jsonl.gz" for name in FILES]
    sections = dict(
        re.findall(r"^## (\S+)\.jsonl\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    )
    for file in played["files"]:
        name = file["file"].removesuffix(".jsonl.gz")
        missing = [
            m["record"] for m in file["recorded"]["misses"] if m["record"] not in sections[name]
        ]
        assert missing == [], f"{name}: misses without a reason in docs/dev/fidelity.md"


@pytest.fixture(scope="module")
def verdicts():
    """Ten records about whole numbers, nine as recorded and one with another result."""
    lines = gzip.decompress(recording("cel-verdicts").read_bytes()).splitlines()
    records = [
        r for r in map(json.loads, lines) if r["area"] == "int" and r.get("result") is not None
    ]
    records = records[:10]
    records[4]["result"] = not records[4]["result"]
    return records


def test_an_answer_that_differs_is_a_miss_with_its_difference_and_the_exit_code_is_1(
    tmp_path, verdicts
):
    (tmp_path / "cel-verdicts.jsonl").write_text("\n".join(map(json.dumps, verdicts)))
    done = fidelity(tmp_path, "-v")
    assert done.returncode == 1
    assert re.search(r"cel-verdicts.jsonl +9 +10 +90.0%", done.stdout)
    assert re.search(r"  int +9 +10 +90.0%", done.stdout)
    assert re.search(rf"^  {verdicts[4]['id']}: result: ", done.stdout, re.MULTILINE)
    assert "below 98%: cel-verdicts.jsonl" in done.stdout


def test_records_with_one_field_changed_are_counted_beside_the_recorded(tmp_path, verdicts):
    good = [record for number, record in enumerate(verdicts) if number != 4]
    (tmp_path / "cel-verdicts.jsonl").write_text("\n".join(map(json.dumps, good)))
    done = fidelity(tmp_path, "--changed", "-o", "json")
    (file,) = json.loads(done.stdout)["files"]
    assert done.returncode == 0
    assert (file["recorded"]["records"], file["recorded"]["share"]) == (9, 1.0)
    assert file["changed"]["records"] > 0
    assert file["changed"]["share"] == 1.0
