"""The family DP: device plugins that behave pass it, and each mistake fails exactly the cases that are about it."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

import pytest

from pydra_testbed.conformance import QUICK, Failed, Passed, Skipped, Subject, run
from pydra_testbed.conformance.catalog import select
from pydra_testbed.conformance.model import Conditions
from pydra_testbed.conformance.opening import stand

DRIVERS = Path(__file__).parents[2] / "tests/support/broken_drivers"
ALL = {case.id for case in select(families=["DP"])}
IMPATIENT = dataclasses.replace(QUICK, start=6.0, notice=3.0, recovery=3.0)
JOBS = 4
"""Mistakes are mostly waited for."""


def plugin(*arguments):
    return Subject(
        (sys.executable, str(DRIVERS / "raw_plugin.py"), *arguments),
        sicken=("touch", "{kubelet_root}/sick-{device}"),
        heal=("rm", "{kubelet_root}/sick-{device}"),
    )


def by_outcome(results, kind):
    return {r.case.id: r.outcome for r in results if isinstance(r.outcome, kind)}


@pytest.mark.timeout(120)
async def test_a_strangers_driver_that_also_is_a_device_plugin_passes_every_case():
    results = await run(plugin("dual"), select(families=["DP"]), jobs=JOBS)
    assert by_outcome(results, Failed) == {}
    assert by_outcome(results, Skipped) == {}


@pytest.mark.timeout(120)
async def test_a_strangers_device_plugin_without_dra_passes_all_but_the_guard():
    results = await run(plugin(), select(families=["DP"]), IMPATIENT, jobs=JOBS)
    assert by_outcome(results, Failed) == {}
    skipped = {case: outcome.reason for case, outcome in by_outcome(results, Skipped).items()}
    assert skipped == {"DP-08": "not applicable: it serves no DRA"}


@pytest.mark.timeout(120)
async def test_a_driver_on_the_framework_says_where_devices_are_and_how_they_are():
    """The rest of the family is pizza's."""
    ours = dataclasses.replace(
        plugin(), command=(sys.executable, str(DRIVERS / "framework_driver.py"), "counted")
    )
    results = await run(ours, select(["DP-05", "DP-06", "DP-11"]), jobs=JOBS)
    assert by_outcome(results, Passed).keys() == {"DP-05", "DP-06", "DP-11"}, results


MANY_MISTAKES = (
    "lies-about-options", "trusts-inodes", "keeps-new-streams-waiting", "gives-what-it-never-listed",
    "prefers-too-few", "hints-minus-one", "introduces-itself-as-a-driver", "shows-nothing-to-pods",
    "registers-once", "says-nothing-of-illness",
)  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("mistakes", "failing"),
    [
        (MANY_MISTAKES, ALL - {"DP-10"}),
        (["renames-its-cards"], {"DP-01", "DP-04", "DP-09", "DP-10"}),
        (["lists-changes-alone", "answers-one-container"], {"DP-04", "DP-06", "DP-08", "DP-11"}),
    ],
    ids=lambda value: str(len(value)),
)
async def test_mistakes_fail_the_cases_about_them_and_no_other(mistakes, failing):
    results = await run(plugin("dual", *mistakes), select(families=["DP"]), IMPATIENT, jobs=JOBS)
    failed = by_outcome(results, Failed)
    assert failed.keys() == failing, failed
    assert all(outcome.remedy and outcome.expected and outcome.seen for outcome in failed.values())
    assert by_outcome(results, Passed).keys() == ALL - failing


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "mistakes",
    [
        {
            "DP-01": "registers-before-it-serves",
            "DP-04": "refuses-what-it-gave",
            "DP-05": "prefers-what-is-taken",
            "DP-06": "hints-elsewhere",
        },
        {"DP-04": "new-answer-each-time", "DP-08": "never-lets-go"},
        {"DP-08": "shows-nothing-to-claims"},
        {"DP-08": "gives-what-claims-have"},
        {"DP-04": "writes-specs-late"},
    ],
    ids=lambda mistakes: [*mistakes.values()][-1],
)
async def test_each_mistake_fails_its_case_beside_others_that_pass(mistakes):
    cases = {*mistakes, "DP-03"}
    results = await run(plugin("dual", *mistakes.values()), select(cases), IMPATIENT, jobs=JOBS)
    assert by_outcome(results, Failed).keys() == mistakes.keys(), results
    assert by_outcome(results, Passed).keys() == cases - mistakes.keys()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("modes", "outcome"),
    [
        (["splits"], Passed),
        (["shares-one"], Passed),
        (["splits", "splits-names-alone"], Failed),
        (["splits", "hides-its-nodes"], Skipped),
        (["shows-nothing-to-pods", "hides-its-nodes"], Failed),
    ],
    ids=["splits", "in-part", "says-it-splits", "hides", "does-not-split"],
)
async def test_a_driver_that_splits_its_devices_for_good_is_told_from_one_that_gives_them_twice(
    modes, outcome
):
    (result,) = await run(plugin("dual", *modes), select(["DP-08"]), IMPATIENT)
    assert isinstance(result.outcome, outcome), result
    if outcome is Failed:
        assert result.outcome.expected.startswith("card-")
    if outcome is Skipped:
        assert "nothing that containers get tells" in result.outcome.reason


async def test_a_driver_that_serves_claims_alone_skips_the_family_with_the_reason():
    raw = Subject((sys.executable, str(DRIVERS / "raw_driver.py")))
    limits = dataclasses.replace(QUICK, notice=0.5)
    results = await run(raw, select(families=["DP"]), limits)
    assert {outcome.reason for outcome in by_outcome(results, Skipped).values()} == {
        "not applicable: it serves no device plugin when ENABLE_DEVICE_PLUGIN is true"
    }
    assert by_outcome(results, Skipped).keys() == ALL


async def test_a_driver_that_cannot_serve_a_device_plugin_skips_the_family_with_what_it_says():
    ours = Subject((sys.executable, str(DRIVERS / "framework_driver.py")))
    results = await run(ours, select(["DP-01", "DP-04"]))
    reasons = [outcome.reason for outcome in by_outcome(results, Skipped).values()]
    assert len(reasons) == 2
    assert all("told to serve a device plugin" in reason for reason in reasons)
    assert all("has no extended resources" in reason for reason in reasons)


async def test_a_program_that_ends_at_once_fails_the_first_case_alone():
    dying = Subject((sys.executable, "-c", "raise SystemExit('no such card')"))
    results = await run(dying, select(["DP-01", "DP-04"]))
    ((case, failed),) = by_outcome(results, Failed).items()
    assert case == "DP-01"
    assert "no such card" in failed.seen
    assert [o.reason for o in by_outcome(results, Skipped).values()] == [
        "the driver does not get so far: see DP-01"
    ]


async def test_the_kits_kubelet_has_its_folders_before_a_driver_can_look_for_them():
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        async with stand(plugin(), QUICK, Path(folder) / "0", Conditions()) as made:
            there = sorted(path.name for path in made.kubelet_root.iterdir())
            assert {"device-plugins", "plugins", "plugins_registry"} <= set(there)
            assert (made.kubelet_root / "device-plugins" / "kubelet.sock").exists()
            await made.stop_kubelet()
            made.kubelet.plugins.takes_calls = False
            await made.start_kubelet()
            assert not (made.kubelet_root / "device-plugins").exists()
