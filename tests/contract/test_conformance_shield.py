"""The family SHIELD: a driver with a worker passes it, and one whose worker has no limit fails the case about that."""

from __future__ import annotations

import sys

import pytest
from saboteurs import SUPPORT, library

from pydra_testbed.conformance import Failed, Passed, Subject, run
from pydra_testbed.conformance.catalog import select

__all__ = ["library"]

SHIELD = {f"SHIELD-0{n}" for n in range(1, 7)}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("memory", "failing"), [("128", set()), ("0", {"SHIELD-04"})])
async def test_a_driver_passes_but_for_the_limit_it_does_not_set(
    library, monkeypatch, memory, failing
):
    monkeypatch.setenv("SABOTEUR", str(library))
    monkeypatch.setenv("MEMORY", memory)
    program = str(SUPPORT / "saboteur_driver.py")
    chosen = select(families=["SHIELD"]) if memory != "0" else select(["SHIELD-04"])
    results = await run(Subject((sys.executable, program, "run")), chosen)
    told = {r.case.id: r.outcome for r in results}
    assert {i for i, o in told.items() if isinstance(o, Failed)} == failing, told
    if memory != "0":
        assert {i for i, o in told.items() if isinstance(o, Passed)} == SHIELD, told
