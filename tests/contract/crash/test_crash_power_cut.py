"""The power goes at each disk operation: what was not synced is lost, or half lost, the CDI directory wholly.

Unless PYDRA_THOROUGH=1 each of two tests that differ in a detail takes every other operation.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from crash_kit.node import PowerCut, answered, step
from crash_kit.scenario import STEPS, check_recovery, whole
from thoroughness import sample

LOST, HALF_LOST = 0.0, 0.5


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kept", [LOST, HALF_LOST], ids=["lost", "half-lost"])
def test_after_a_power_cut_at_any_operation_what_was_answered_holds(node, say, kept):
    run, of_claim = whole(node)
    points = 0
    for end in sample(range(len(run.events) + 1), of=2, turn=kept == HALF_LOST):
        happened = run.events[:end]
        node.reset()
        disk = PowerCut(node)
        disk.replay(*happened)
        disk.cut(kept)
        node.damaged = kept == HALF_LOST
        points += 1
        with say.where(f"cut after {happened[-1] if happened else 'nothing'}"):
            check_recovery(node, happened, of_claim)
    say(f"power cut at {points} points, unsynced bytes dropped: all recovered")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("full", [False, True], ids=["", "the-disk-is-full-at-the-second-start"])
def test_a_kill_and_a_power_cut_soon_after_lose_nothing_that_was_answered(node, say, full):
    """What a killed driver left unsynced is read by the next one, which must not answer from that alone."""
    begin, _, armed = node.fault(errno.ENOSPC, Path(f"{node.journal}.new"))
    run, of_claim = whole(node)
    points = 0
    for call in sample(run.calls, of=2, turn=full):
        node.reset()
        disk = PowerCut(node)
        killed = node.run(*STEPS, CRASH_KILL=f"{call.number}:after")
        if full:
            Path(begin["file"]).touch()
        done = answered(killed.events)
        again = node.run(*STEPS[done : done + 1], **armed)
        Path(begin["file"]).unlink(missing_ok=True)
        disk.replay(*killed.events, *again.events)
        disk.cut()
        points += 1
        with say.where(f"killed after {call}, answered by the next driver, then the power cut"):
            check_recovery(node, killed.events + again.events, of_claim)
    say(f"killed and power cut at {points} points: all recovered")


def test_prepared_and_released_are_synced_before_the_answer_leaves(node):
    run, _ = whole(node)
    unsynced = set()
    for event in run.events:
        if event.call == "pwrite":
            unsynced |= {op for op in (b"prepared", b"released") if op in event.data}
            if node.switched:
                unsynced -= {b"released"}  # its intent to undo was synced, and is undone again
        if event.call in {"fdatasync", "fsync"}:
            unsynced = set()
        if event.call == "answer":
            assert unsynced == set()


def test_one_sync_for_each_claim_prepared_and_one_for_each_unprepared(node):
    node.compacting = False
    run = node.run(step("prepare", "a", "b"), step("prepare", "a"), step("unprepare", "a", "b"))
    syncs, found = 0, []
    for event in run.events:
        syncs += event.call in {"fsync", "fdatasync"}
        if event.call in {"started", "answer"}:
            found.append(syncs)
            syncs = 0
    intent = 1 if node.switched else 0
    assert found[1:] == [1 + intent, 0, 1]
