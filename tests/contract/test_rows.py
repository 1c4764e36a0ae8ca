"""docs/dev/rows.md names every row and trap once, and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([RT]\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
REASON = re.compile(r"(?:later|not core): \w.{3,}")
ROWS = ROW.findall((ROOT / "docs/dev/rows.md").read_text(encoding="utf-8"))
OF_CORE = [f"R{n}" for n in range(1, 16)] + [f"T{n}" for n in (*range(1, 34), *range(52, 96))]


@cache
def named_in(name):
    """Names of the tests in the one file of that name, read without running it."""
    (file,) = [*ROOT.glob(f"tests/**/{name}"), *ROOT.glob(f"packages/*/tests/**/{name}")]
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {n.name for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, functions)}


def test_no_row_and_no_trap_is_missing_or_there_twice():
    wanted = [f"R{n}" for n in range(1, 16)] + [f"T{n}" for n in range(1, 96)]
    assert [name for name, _, _ in ROWS] == wanted


@pytest.mark.parametrize("held", [pytest.param(held, id=name) for name, _, held in ROWS])
def test_a_row_is_held_by_tests_that_exist_or_says_why_not(held):
    named = TEST.findall(held)
    assert [f"{file}::{test}" for file, test in named if test not in named_in(file)] == []
    assert not TEST.sub("", held).strip(" ,") if named else REASON.fullmatch(held)


def test_what_core_must_do_is_held_by_tests_and_the_rest_has_its_place():
    """All but a few rows of core have tests; what has none is told apart by whose it is."""
    without = {name: held for name, _, held in ROWS if not TEST.search(held) and name in OF_CORE}
    later = {name for name, held in without.items() if held.startswith("later:")}
    assert later <= {"R11", "T59", "T60", "T61", "T64", "T68", "T69", "T70", "T81", "T93"}
    assert set(without) - later <= {"T82", "T83", "T84", "T86", "T91"}
