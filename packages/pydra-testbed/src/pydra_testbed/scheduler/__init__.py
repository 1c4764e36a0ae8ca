"""Pods to nodes and claims to devices: the pure allocator and the component that drives it."""

from pydra_testbed.scheduler.allocate import allocate
from pydra_testbed.scheduler.dice import Dice
from pydra_testbed.scheduler.model import AllocationError
from pydra_testbed.scheduler.scheduler import Scheduler
from pydra_testbed.scheduler.task import Allocated, AllocationInput, Refused
from pydra_testbed.scheduler.trace import Reason, Refusal, TraceSink

__all__ = [
    "Allocated",
    "AllocationError",
    "AllocationInput",
    "Dice",
    "Reason",
    "Refusal",
    "Refused",
    "Scheduler",
    "TraceSink",
    "allocate",
]
