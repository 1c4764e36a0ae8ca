"""The family SHIELD: a driver with a worker passes it, and each mistake fails exactly the cases that are about it."""

from __future__ import annotations

import dataclasses
import sys

import pytest
from saboteurs import SUPPORT, library

from pydra_testbed.conformance import QUICK, Failed, Passed, Subject, run
from pydra_testbed.conformance.catalog import select

__all__ = ["library"]

SHIELD = {f"SHIELD-0{n}" for n in range(1, 7)}
LIMITS = dataclasses.replace(QUICK, stop=3.0)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("mistakes", "memory", "failing"),
    [
        ("", "128", set()),
        (
            "swallows-errors waits-for-its-worker undoes-with-the-library",
            "0",
            {"SHIELD-01", "SHIELD-04", "SHIELD-05", "SHIELD-06"},
        ),
        ("asks-its-worker-first", "128", {"SHIELD-02"}),
        ("starts-no-second-worker", "128", {"SHIELD-03", "SHIELD-06"}),
    ],
    ids=lambda value: value.partition(" ")[0] if isinstance(value, str) else str(len(value)),
)
async def test_mistakes_fail_the_cases_about_them_and_no_other(
    library, monkeypatch, mistakes, memory, failing
):
    monkeypatch.setenv("SABOTEUR", str(library))
    monkeypatch.setenv("MEMORY", memory)
    monkeypatch.setenv("MISTAKES", mistakes)
    program = str(SUPPORT / "saboteur_driver.py")
    subject = Subject((sys.executable, program, "run"))
    results = await run(subject, select(families=["SHIELD"]), LIMITS)
    told = {r.case.id: r.outcome for r in results}
    assert {i for i, o in told.items() if isinstance(o, Failed)} == failing, told
    assert {i for i, o in told.items() if isinstance(o, Passed)} == SHIELD - failing, told
    assert all(o.remedy and o.expected for o in told.values() if isinstance(o, Failed))
