"""The conformance kit: drivers that behave pass it, and each mistake fails exactly the cases that are about it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pydra_core.cli import main
from pydra_core.errors import ConfigError
from pydra_testbed.conformance import CASES, Failed, Passed, Skipped, Subject, run
from pydra_testbed.conformance.catalog import select

ROOT = Path(__file__).parents[2]
DRIVERS = ROOT / "tests" / "support" / "broken_drivers"
PARAMETERS = ({"mode": "fast-and-loud"}, {"mode": "slow-and-quiet"})
ORDERS = [
    {"apiVersion": "dra.pizza/v1", "kind": "Order", "extraCheese": cheese}
    for cheese in (True, False)
]
SHIELD = [f"SHIELD-0{n}" for n in range(1, 7)]
UNCOUNTED = "the command cannot be told how many devices there are: give --start with {devices}"
UNHURT = "not applicable: nothing can make a device sick and well: give --sicken and --heal"
WHITE_BOX = {f"STATE-0{n}" for n in range(1, 6)} | {"SEC-02", "SEC-03"}


def driver(program, *mistakes):
    return Subject((sys.executable, str(DRIVERS / f"{program}.py"), *mistakes), PARAMETERS)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pydra_core", "testbed", "conformance", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def by_outcome(results, kind):
    return {result.case.id for result in results if isinstance(result.outcome, kind)}


@pytest.mark.timeout(240)
def test_pizza_passes_all_that_is_about_it(tmp_path):
    file = tmp_path / "orders.json"
    file.write_text(json.dumps(ORDERS))
    done = command("--driver", "pizza", "--config", str(file), "--jobs", "4", "-o", "json")
    report = json.loads(done.stdout)
    assert {c["id"]: c["seen"] for c in report["cases"] if c["result"] == "failed"} == {}
    assert {c["id"]: c["reason"] for c in report["cases"] if c["result"] == "skipped"} == {
        "PREP-12": "not applicable: every published device can be shared",
        "SLICE-05": f"not applicable: the driver publishes 5 devices; {UNCOUNTED}",
        "SLICE-06": UNHURT,
        "SLICE-07": "not applicable: the driver publishes no shared counters",
        "SLICE-13": f"not applicable: {UNCOUNTED}",
        "HEALTH-02": UNHURT,
        "HEALTH-03": UNHURT,
        **dict.fromkeys(
            SHIELD, "not applicable: white box: it has no worker of pydra-core's shield"
        ),
        "DP-11": UNHURT,
    }
    assert [c["id"] for c in report["cases"]] == [case.id for case in CASES]
    assert report["passes"]
    assert done.returncode == 0


@pytest.mark.timeout(120)
async def test_a_strangers_driver_that_behaves_passes_all_but_the_white_box():
    families = ["REG", "PREP", "UNPREP", "STATE", "SEC"]  # it neither keeps slices nor knows health
    results = await run(driver("raw_driver"), select(families=families))
    assert by_outcome(results, Failed) == set()
    assert by_outcome(results, Skipped) == WHITE_BOX


@pytest.mark.timeout(120)
async def test_devices_for_one_claim_each_are_held_apart_by_the_framework():
    results = await run(driver("framework_driver"), select(families=["PREP", "UNPREP"]))
    assert by_outcome(results, Failed) == set()
    assert by_outcome(results, Skipped) == {"PREP-10", "UNPREP-07"}


BROKEN = (
    (
        "raw_driver",
        ["lists-v1beta1-first", "leaves-its-socket", "dies-of-a-refusal", "never-shortens"],
        ["REG"],
        {"REG-01", "REG-05", "REG-08", "REG-09"},
    ),
    (
        "raw_driver",
        [
            "sweeps-all-sockets",
            "lists-health-it-does-not-serve",
            "serves-its-first-kubelet-alone",
            "refuses-a-stale-socket",
            "dies-of-garbage",
        ],
        ["REG"],
        {"REG-02", "REG-03", "REG-04", "REG-06", "REG-07", "REG-10"},
    ),
    (
        "raw_driver",
        ["new-answer-each-time"],
        ["PREP", "UNPREP"],
        {"PREP-02", "PREP-03", "PREP-04", "PREP-19"},
    ),
    (
        "raw_driver",
        ["fails-the-whole-call", "ignores-the-uid", "one-at-a-time"],
        ["PREP", "UNPREP"],
        {"PREP-05", "PREP-13", "PREP-16"},
    ),
    (
        "raw_driver",
        ["forgets-a-claim"],
        ["PREP", "UNPREP"],
        {"PREP-05"},
    ),
    (
        "raw_driver",
        ["takes-the-first-device"],
        ["PREP"],
        {"PREP-01", "PREP-06", "PREP-12", "PREP-14", "PREP-17"},
    ),
    (
        "raw_driver",
        [
            "keeps-subrequest-names",
            "prefers-the-class",
            "takes-unknown-fields",
            "forgets-share-ids",
            "admins-take-devices",
            "looks-at-consumers",
            "undoes-without-waiting",
            "undoes-all-shares",
        ],
        ["PREP", "UNPREP"],
        {
            "PREP-07",
            "PREP-08",
            "PREP-09",
            "PREP-10",
            "PREP-11",
            "PREP-17",
            "UNPREP-07",
            "UNPREP-09",
        },
    ),
    (
        "raw_driver",
        ["never-gets-over-an-error", "works-in-the-call", "loses-its-journal"],
        ["PREP", "UNPREP"],
        {"PREP-12", "PREP-15", "PREP-18"},
    ),
    (
        "raw_driver",
        ["writes-specs-late"],
        ["PREP"],
        {"PREP-01", "PREP-03", "PREP-04", "PREP-11", "PREP-20"},
    ),
    (
        "raw_driver",
        ["fails-on-unknown-claims"],
        ["UNPREP"],
        {"UNPREP-02", "UNPREP-03", "UNPREP-05", "UNPREP-06"},
    ),
    (
        "raw_driver",
        ["asks-before-undoing"],
        ["UNPREP"],
        {"UNPREP-02", "UNPREP-04", "UNPREP-08"},
    ),
    (
        "raw_driver",
        ["leaves-spec-files"],
        ["UNPREP"],
        {"UNPREP-01", "UNPREP-04", "UNPREP-08", "UNPREP-09"},
    ),
    ("framework_driver", ["ignores-checksums"], ["STATE"], {"STATE-02"}),
    (
        "framework_driver",
        ["takes-torn-for-damaged", "believes-what-it-cannot-write"],
        ["STATE"],
        {"STATE-01", "STATE-05"},
    ),
    ("framework_driver", ["reads-newer-formats"], ["STATE"], {"STATE-03", "STATE-04"}),
    ("framework_driver", ["logs-parameters"], ["SEC"], {"SEC-04"}),
    ("framework_driver", ["lists-all-claims"], ["SEC"], {"SEC-02", "SEC-03"}),
    pytest.param(
        *("framework_driver", ["needs-privileges"], ["SEC"], {"SEC-01"}),
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to lose"),
    ),
)


def _shortly(value):
    """The first mistake of a list, the size of a set of cases."""
    if isinstance(value, set):
        return str(len(value))
    return value[0] if isinstance(value, list) else value


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("program", "mistakes", "families", "failing"), BROKEN, ids=_shortly)
async def test_mistakes_fail_the_cases_about_them_and_no_other(
    program, mistakes, families, failing
):
    results = await run(driver(program, *mistakes), select(families=families))
    failed = {r.case.id: r.outcome for r in results if isinstance(r.outcome, Failed)}
    assert set(failed) == failing, failed
    assert all(outcome.remedy and outcome.expected for outcome in failed.values())


async def test_a_driver_that_ends_at_once_fails_its_registration_and_nothing_else_is_tried():
    dying = Subject((sys.executable, "-c", "raise SystemExit('no such card')"))
    results = await run(dying)
    (failed,) = [r for r in results if isinstance(r.outcome, Failed)]
    assert failed.case.id == "REG-01"
    assert "no such card" in failed.outcome.seen
    assert {r.outcome.reason for r in results if isinstance(r.outcome, Skipped)} == {
        "the driver does not get so far: see REG-01"
    }
    assert by_outcome(results, Passed) == set()


def test_a_failure_is_explained_and_the_exit_code_says_so():
    program = f"{sys.executable} {DRIVERS / 'raw_driver.py'} ignores-the-uid"
    done = command("--start", program, "--case", "PREP-13", "--case", "PREP-01")
    assert done.returncode == 1
    assert "1 passed, 1 failed, 0 skipped" in done.stdout
    assert "remedy:   Compare metadata.uid with the asked UID." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--driver", "pizza", "--case", "PREP-99"], "PREP-99"),
        (["--driver", "pizza", "--family", "CDI"], "CDI"),
        (["--driver", "nobody"], "nobody"),
        (["--start", "'"], "quotes"),
        (["--driver", "pizza", "--sicken", "'"], "--sicken"),
        (["--driver", "pizza", "--heal", " "], "--heal"),
        (["--driver", "pizza", "--config", "/no/such/file"], "/no/such/file"),
        ([], "--driver"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(capsys, arguments, says):
    with pytest.raises(SystemExit) as ended:
        main(argv=["testbed", "conformance", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


async def test_a_command_that_makes_no_device_sick_is_no_finding_about_a_driver():
    watching = driver("framework_driver", "watching")
    hurting = dataclasses.replace(watching, sicken=("false",), heal=("true",))
    with pytest.raises(ConfigError, match="false: ended with code 1"):
        await run(hurting, select(["HEALTH-02"]))


async def test_a_program_that_is_not_there_is_no_finding_about_a_driver():
    with pytest.raises(ConfigError, match="/no/such/program cannot be started"):
        await run(Subject(("/no/such/program",)))


def test_the_case_names_are_those_of_the_plan():
    wanted = Counter(
        {
            "REG": 10,
            "PREP": 20,
            "UNPREP": 9,
            "SLICE": 14,
            "HEALTH": 6,
            "SHIELD": 6,
            "STATE": 5,
            "SEC": 4,
            "DP": 11,
        }
    )
    ids = [f"{family}-{n:02}" for family, count in wanted.items() for n in range(1, count + 1)]
    assert [case.id for case in CASES] == ids


def test_the_page_lists_every_case_as_the_kit_has_it():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "gen_conformance.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
