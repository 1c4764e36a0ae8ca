"""The families SLICE and HEALTH: a driver that behaves passes all of them, and mistakes fail the cases about them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from pydra_testbed.conformance import QUICK, Failed, Passed, Skipped, Subject, run
from pydra_testbed.conformance.catalog import select

DRIVERS = Path(__file__).parents[2] / "tests/support/broken_drivers"
RAW_IDS = ("SLICE-01", "SLICE-02", "SLICE-09", "HEALTH-01", "HEALTH-05", "HEALTH-06")
RAW_PASSING = {"HEALTH-05"}
FAMILIES = ("SLICE", "HEALTH")
ALL = {case.id for case in select(families=FAMILIES)}
IMPATIENT = dataclasses.replace(QUICK, start=6.0, stop=4.0, recovery=7.0)
JOBS = 4
"""Mistakes are mostly waited for."""


def driver(*arguments):
    """On the framework: with as many cards as asked for, which fall ill at a file."""
    return Subject(
        (sys.executable, str(DRIVERS / "framework_driver.py"), "{devices}", *arguments),
        sicken=("touch", "{kubelet_root}/sick-{device}"),
        heal=("rm", "{kubelet_root}/sick-{device}"),
    )


def by_outcome(results, kind):
    return {r.case.id: r.outcome for r in results if isinstance(r.outcome, kind)}


@pytest.mark.timeout(120)
async def test_a_driver_that_publishes_once_and_reports_no_device_fails_the_cases_about_it():
    limits = dataclasses.replace(QUICK, start=4.0)
    raw = Subject((sys.executable, str(DRIVERS / "raw_driver.py")))
    results = await run(raw, select(ids=RAW_IDS), limits)
    failed = by_outcome(results, Failed)
    assert failed.keys() == set(RAW_IDS) - RAW_PASSING
    assert by_outcome(results, Passed).keys() == RAW_PASSING
    assert all(outcome.remedy and outcome.seen for outcome in failed.values())


@pytest.mark.timeout(120)
async def test_a_driver_that_behaves_passes_every_case_and_none_is_left_out():
    results = await run(driver("watching", "counting"), select(families=FAMILIES))
    assert by_outcome(results, Failed) == {}
    assert by_outcome(results, Skipped) == {}


MANY_MISTAKES = (
    (
        "watching", "counting", "owned-by-nobody", "one-slice-for-all", "knows-one-layout",
        "says-nothing-of-dropped-fields", "says-nothing-of-versions", "contradicts-itself", "keeps-what-was",
        "both-publish", "taints-nothing", "gives-the-third-stream-less", "holds-streams",
    ),
    {
        "SLICE-01", "SLICE-05", "SLICE-07", "SLICE-08", "SLICE-10", "SLICE-11", "SLICE-13", "SLICE-14",
        "HEALTH-02", "HEALTH-04", "HEALTH-06",
    },
    {"SLICE-06": "see SLICE-05", "HEALTH-03": "see HEALTH-02"},
)  # fmt: skip
OTHER_MISTAKES = (
    (
        "watching", "leaves-wiped-slices", "does-not-split-for-taints", "leaves-old-slices", "turns-the-order",
        "never-recovers", "forgets-a-device", "dies-of-kubelets",
    ),
    {
        "SLICE-02", "SLICE-03", "SLICE-04", "SLICE-06", "SLICE-09", "SLICE-12",
        "HEALTH-01", "HEALTH-03", "HEALTH-05", "HEALTH-06",
    },
    {"SLICE-07": "no shared counters", "SLICE-08": "no field"},
)  # fmt: skip


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("made", "failing", "left_out"), [MANY_MISTAKES, OTHER_MISTAKES])
async def test_mistakes_fail_the_cases_about_them_and_no_other(made, failing, left_out):
    results = await run(driver(*made), select(families=FAMILIES), IMPATIENT, jobs=JOBS)
    failed = by_outcome(results, Failed)
    assert failed.keys() == failing, failed
    assert all(outcome.remedy and outcome.expected for outcome in failed.values())
    skipped = by_outcome(results, Skipped)
    assert skipped.keys() == left_out.keys()
    assert all(why in skipped[case].reason for case, why in left_out.items())


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("mistake", "cases", "failing", "limits"),
    [
        ("writes-at-each-start", ["SLICE-03", "SLICE-04", "SLICE-14"], {"SLICE-03"}, {}),
        ("half-at-first", ["SLICE-02", "SLICE-03", "SLICE-04"], {"SLICE-04"}, {}),
        ("counting writes-again-and-again", ["SLICE-08"], {"SLICE-08"}, {}),
        ("recovers-at-once", ["HEALTH-03"], {"HEALTH-03"}, {"moment": 4.0}),
    ],
)
async def test_one_mistake_fails_one_case(mistake, cases, failing, limits):
    limits = dataclasses.replace(IMPATIENT, **limits)
    results = await run(driver("watching", *mistake.split()), select(cases), limits)
    failed = by_outcome(results, Failed)
    assert failed.keys() == failing, failed
    assert by_outcome(results, Passed).keys() == set(cases) - failing


async def test_slices_that_are_refused_are_told_before_all_else():
    results = await run(driver("breaks-a-limit"), select(families=["REG", "SLICE"]), IMPATIENT)
    ((case, failed),) = by_outcome(results, Failed).items()
    assert case == "SLICE-11"
    assert "card-index" in failed.seen
    assert all("see SLICE-11" in o.reason for o in by_outcome(results, Skipped).values())
