"""The conformance kit: whether a driver, ours or not, behaves towards the kubelet.

`pydra testbed conformance` runs it; tests call `run`. It starts the driver as a process, plays its kubelet and its
API server, and looks at what answers and what lies on disk. Cases are named as in `docs/user/conformance.md`.
"""

from pydra_testbed.conformance.catalog import CASES
from pydra_testbed.conformance.limits import KUBELET, QUICK, Limits
from pydra_testbed.conformance.model import Case, Failed, Outcome, Passed, Result, Skipped
from pydra_testbed.conformance.runner import run
from pydra_testbed.conformance.subject import Subject

__all__ = [
    "CASES",
    "KUBELET",
    "QUICK",
    "Case",
    "Failed",
    "Limits",
    "Outcome",
    "Passed",
    "Result",
    "Skipped",
    "Subject",
    "run",
]
