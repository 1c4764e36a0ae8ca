"""Anything a kubelet, a disk and a killer may do to the claim path, in any order, against what it owes.

`--hypothesis-profile=long` runs thousands of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from claim_model.machine import Claims
from claim_model.node import Zygote
from crash_kit import interposer
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

LONG = settings.get_current_profile_name() == "long"


@pytest.fixture(scope="module")
def zygote():
    with tempfile.TemporaryDirectory(prefix="pd-") as folder:
        made = Zygote(Path(folder), interposer.build(Path(folder)))
        yield made
        made.close()


@pytest.mark.timeout(0 if LONG else 180)
@pytest.mark.parametrize("switched", [False, True], ids=["plain", "changes-hardware"])
def test_no_device_is_given_twice_no_claim_is_lost_and_nothing_is_left_over(zygote, switched):
    machine = type("Machine", (Claims,), {"zygote": zygote, "switched": switched})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=5000 if LONG else 40,
            stateful_step_count=60 if LONG else 30,
            derandomize=not LONG,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
