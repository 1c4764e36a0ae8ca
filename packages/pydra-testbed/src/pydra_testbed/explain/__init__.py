"""Why a pod or claim gets no devices, device by device; used by `pydra explain` and told by `pydra demo`.

The verdict is the scheduler's own: the same decision code runs on a frozen reading of the cluster. What is
added is everything that stands against a device, where the scheduler stops at the first thing.
"""

from pydra_testbed.explain.explaining import explain
from pydra_testbed.explain.model import Explanation, Verdict
from pydra_testbed.explain.subject import Target, UnknownObjectError
from pydra_testbed.explain.text import in_words
from pydra_testbed.explain.world import World

__all__ = [
    "Explanation",
    "Target",
    "UnknownObjectError",
    "Verdict",
    "World",
    "explain",
    "in_words",
]
