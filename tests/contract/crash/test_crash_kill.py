"""The driver is killed at each of its disk operations in turn; the next one must put everything right.

Unless PYDRA_THOROUGH=1 it is killed before and after every other operation (after one is before the next), in the
middle of each write, and again at one in five of the operations of the recovery.
"""

from __future__ import annotations

import shutil

import pytest
from crash_kit.scenario import STEPS, Progress, check_recovery, whole
from thoroughness import sample


def kill_points(run, turn):
    """Before and after each numbered call, and in the middle of each write."""
    between = sample(run.calls, of=2, turn=turn)
    for call in run.calls:
        hows = ["before", "after"] if call in between else []
        for how in [*hows, *(["torn"] if "write" in call.call else [])]:
            yield f"{call.number}:{how}", call


@pytest.mark.timeout(120)
def test_killed_at_any_operation_the_next_start_makes_all_right(node, say):
    run, of_claim = whole(node)
    points = list(kill_points(run, turn=node.switched))
    for where, call in points:
        node.reset()
        killed = node.run(*STEPS, CRASH_KILL=where)
        with say.where(f"killed {where} {call}"):
            check_recovery(node, killed.events, of_claim)
    say(f"{len(run.calls)} operations, killed at {len(points)} points: all recovered")


@pytest.mark.timeout(120)
def test_killed_again_at_any_operation_of_the_recovery_the_third_start_makes_all_right(node, say):
    run, _ = whole(node)
    points = 0
    for call in run.calls:
        node.reset()
        killed = node.run(*STEPS, CRASH_KILL=f"{call.number}:before")
        progress = Progress.of(killed.events)
        image = node.keep()
        for again in sample(node.run().calls, of=5, turn=call.number):
            node.back_to(image)
            assert node.run(CRASH_KILL=f"{again.number}:before").killed
            points += 1
            with say.where(f"killed at {call}, then at {again}"):
                assert node.run().code == 0
                assert node.prepared() - progress.doubtful == progress.held
        shutil.rmtree(image)
    say(f"killed twice at {points} pairs of points: all recovered")
