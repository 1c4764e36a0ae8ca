"""Controllers of the testbed: claims of pods, and garbage collection by owner references."""

from pydra_testbed.controllers.claims import ClaimController
from pydra_testbed.controllers.garbage import GarbageCollector

__all__ = ["ClaimController", "GarbageCollector"]
