"""The conformance kit on the described machines: what is quick on all, what restarts drivers on one."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from thoroughness import sample

from pydra_nvidia_fake import FakeHost, descriptions
from pydra_testbed.conformance import CASES, Failed, Skipped, Subject, run

PROGRAM = (sys.executable, "-m", "pydra_nvidia", "run")
API = "resource.nvidia.com/v1beta1"
RESTARTS = {"PREP-03", "PREP-04", "PREP-12", "PREP-15", "PREP-18"}
QUICK = [
    case
    for case in CASES
    if case.family in ("PREP", "UNPREP") and not case.conditions.own and case.id not in RESTARTS
]
LONG = [case for case in CASES if case.id in {*RESTARTS, "REG-01", "SLICE-03", "HEALTH-04"}]
LONG += [case for case in CASES if case.family == "SHIELD"]
SHARES = {"PREP-10", "UNPREP-07"}
"""No device is shared by claims."""
SAME_EDITS = {"PREP-08"}
"""Parameters change hardware or nothing, never container edits."""
ONE_GPU = {"PREP-16"}
CONFIG = {"apiVersion": API, "kind": "GpuConfig"}
PARAMETERS = (CONFIG, CONFIG | {"sharing": None})


@pytest.fixture
def subject(monkeypatch):
    """The driver on a machine."""
    if not shutil.which("cc") and not shutil.which("gcc"):
        pytest.skip("no C compiler to build the stub of NVML with")
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:

        def make(name):
            host = FakeHost.build(name, Path(folder) / "machine")
            monkeypatch.setenv("NVIDIA_HOST_ROOT", str(host.root))
            return Subject(PROGRAM, PARAMETERS)

        yield make


def by_outcome(results, kind):
    return {r.case.id: r.outcome for r in results if isinstance(r.outcome, kind)}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", sample(descriptions(), of=3, kind=lambda name: name[-2:]))
async def test_the_driver_passes_on_every_machine(subject, name):
    results = await run(subject(name), QUICK)
    assert by_outcome(results, Failed) == {}
    skipped = SHARES | SAME_EDITS | (ONE_GPU if name.endswith("x1") else set())
    assert set(by_outcome(results, Skipped)) == skipped, by_outcome(results, Skipped)


@pytest.mark.timeout(120)
async def test_the_driver_passes_what_restarts_it(subject):
    results = await run(subject("mixed-mig"), LONG)
    assert by_outcome(results, Failed) == {}
    assert set(by_outcome(results, Skipped)) == {"SHIELD-01"}  # `prepare` asks NVML for nothing
