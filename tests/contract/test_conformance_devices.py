"""The kit's cases about slices and health find the mistakes of a driver that publishes once and says nothing."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from pydra_testbed.conformance import QUICK, Failed, Passed, Subject, run
from pydra_testbed.conformance.catalog import select

RAW = Path(__file__).parents[2] / "tests/support/broken_drivers/raw_driver.py"
IDS = ("SLICE-01", "SLICE-02", "SLICE-09", "HEALTH-01", "HEALTH-05", "HEALTH-06")
PASSING = {"HEALTH-05"}


@pytest.mark.timeout(120)
async def test_a_driver_that_publishes_once_and_reports_no_device_fails_the_cases_about_it():
    limits = dataclasses.replace(QUICK, start=4.0)
    results = await run(Subject((sys.executable, str(RAW))), select(ids=IDS), limits)
    failed = {r.case.id: r.outcome for r in results if isinstance(r.outcome, Failed)}
    assert set(failed) == set(IDS) - PASSING
    assert {r.case.id for r in results if isinstance(r.outcome, Passed)} == PASSING
    assert all(outcome.remedy and outcome.seen for outcome in failed.values())
