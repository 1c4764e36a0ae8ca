"""The page about crashing libraries: its driver crashes as shown, and its table is what happens."""

from __future__ import annotations

from pathlib import Path

from shown_pages import execute, items

from pydra_core._shield.limits import Limits
from pydra_core._shield.shield import Shield
from pydra_core.sdk import MIB, Sdk

PAGE = (Path(__file__).parents[2] / "docs/user/vendor-crash.md").read_text()


def test_the_driver_on_the_page_outlives_its_library(tmp_path):
    execute(items(PAGE), tmp_path)


async def test_its_operations_are_what_the_page_says(tmp_path):
    for name, text in (item for item in items(PAGE) if isinstance(item, tuple)):
        (tmp_path / name).write_text(text)
    acme = Sdk("acme_sdk", environ={"PYTHONPATH": str(tmp_path)})
    shield = Shield()
    assert await shield.load(acme.spec) == ["cards", "faults", "set_clock", "temperature"]
    assert [v async for v in shield.events(acme.faults)] == ["none yet"]
    await shield.close()


def test_its_numbers_are_those_of_the_code():
    limits = Limits()
    assert (limits.crashes, limits.quarantine) == (3, 30)
    assert "After three crashes or time-outs in a row an operation is refused" in PAGE
    assert Sdk("acme_sdk").spec.memory == 512 * MIB
    assert "may hold 512 MiB" in PAGE
