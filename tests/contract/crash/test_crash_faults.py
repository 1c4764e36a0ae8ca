"""A disk that fails: at each operation, once or a few times in a row, or until somebody mends it.

Unless PYDRA_THOROUGH=1 each kind of fault meets one in four of the operations and the first of each kind; all
kinds of fault together meet every operation.
"""

from __future__ import annotations

import errno

import pytest
from crash_kit.node import PowerCut, answered, errors, step
from crash_kit.scenario import STEPS, check_claims, check_recovery, whole
from thoroughness import sample

FAULTS = {name: getattr(errno, name) for name in ("ENOSPC", "EROFS", "EIO")}
IN_A_ROW = [("ENOSPC", 1), ("EROFS", 1), ("EIO", 1), ("EIO", 2), ("EIO", 4)]


def check_text(node, text):
    """An error says where and what to do."""
    assert str(node.root) in text
    assert "; " in text


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("fault", "count"), IN_A_ROW)
def test_after_a_fault_at_any_operation_the_retry_works_and_nothing_is_lost(
    node, say, fault, count
):
    run, of_claim = whole(node)
    refused = told = 0
    turn = IN_A_ROW.index((fault, count))
    calls = sample(run.calls, of=4, turn=turn, kind=lambda call: call.call)
    for call in calls:
        node.reset()
        armed = f"{call.number}:{FAULTS[fault]}:{count}"
        broken = node.run(*STEPS, retry=True, CRASH_FAIL=armed)
        with say.where(f"{fault} {count} times at {call}"):
            if broken.code == 2:
                check_text(node, broken.refused)
                refused += 1
                check_recovery(node, [], of_claim)
            else:
                failed = check_mended(node, broken, of_claim, again=count > 1)
                told += len(failed)
                if fault == "EIO":
                    check_cuts(node, broken, of_claim, failed)
    say(f"{len(calls)} operations: {refused} stopped the start, {told} became errors of claims")


def check_mended(node, broken, of_claim, *, again):
    """All was answered in the end, and nothing is left over (`again`: after a start); returns the errors' places."""
    assert answered(broken.events) == len(STEPS)
    failed = [i for i, e in enumerate(broken.events) if e.call == "answer" and errors(e)]
    for place in failed:
        for text in errors(broken.events[place]):
            check_text(node, text)
    if again:  # removing the temporary file may have failed as well
        check_recovery(node, broken.events, of_claim)
    else:
        check_claims(node, broken.events, of_claim)
    return failed


def check_cuts(node, broken, of_claim, failed):
    """A power cut at an error or at the end takes no answer back."""
    last = max(i for i, e in enumerate(broken.events) if e.call == "answer")
    for end in [*failed, last]:
        happened = broken.events[: end + 1]
        node.reset()
        disk = PowerCut(node)
        disk.replay(*happened)
        disk.cut()
        check_recovery(node, happened, of_claim)


@pytest.mark.timeout(120)
def test_killed_after_a_failed_sync_the_next_driver_answers_nothing_that_a_power_cut_takes_back(
    node, say
):
    """The kernel may drop what it could not write: reading it back or syncing it again proves nothing."""
    run, of_claim = whole(node)
    syncs = [c for c in run.calls if c.call in {"fsync", "fdatasync"}]
    for sync in syncs:
        node.reset()
        disk = PowerCut(node)
        faults = {
            "CRASH_FAIL": f"{sync.number}:{errno.EIO}:1",
            "CRASH_KILL": f"{sync.number}:after",
        }
        killed = node.run(*STEPS, **faults)
        done = answered(killed.events)
        again = node.run(*STEPS[done : done + 1])
        disk.replay(*killed.events, *again.events)
        disk.cut()
        with say.where(f"killed after the failed {sync}"):
            check_recovery(node, killed.events + again.events, of_claim)
    say(f"{len(syncs)} syncs failed before a kill: nothing answered was lost")


@pytest.mark.timeout(120)
def test_a_write_that_writes_half_is_finished_or_undone(node, say):
    run, of_claim = whole(node)
    writes = [c for c in run.calls if "write" in c.call]
    for place, write in enumerate(writes):
        rest = write.number + 1
        faults = ["", f"{rest}:{errno.ENOSPC}:1", f"{rest}:{errno.EIO}:3"]
        for fault in sample(faults, of=3, turn=place):
            node.reset()
            broken = node.run(*STEPS, retry=True, CRASH_SHORT=str(write.number), CRASH_FAIL=fault)
            with say.where(f"half of {write}, then {fault or 'the rest'}"):
                if broken.code == 2:
                    check_recovery(node, [], of_claim)
                else:
                    failed = check_mended(node, broken, of_claim, again=bool(fault))
                    check_cuts(node, broken, of_claim, failed)
    say(f"{len(writes)} writes were cut in half")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", FAULTS)
def test_while_the_journals_disk_fails_known_claims_are_answered_and_others_told_why(node, fault):
    _, of_claim = whole(node)
    node.reset()
    begin, end, armed = node.fault(FAULTS[fault], node.plugins)
    before = [step("prepare", "b"), begin]
    during = [
        step("prepare", "a"),
        step("unprepare", "b"),
        step("prepare", "b"),
        step("unprepare", "c"),
    ]
    after = [step("prepare", "a"), step("unprepare", "b"), step("prepare", "b")]
    run = node.run(*before, *during, end, *after, **armed)
    told = [e for e in run.events if e.call == "answer"]
    assert [len(errors(e)) for e in told] == [0, 1, 1, 0, 0, 0, 0, 0]
    check_text(node, errors(told[1])[0])
    assert run.answers[3]["answers"]["b"] == of_claim["b"]
    assert node.prepared() == {"a", "b"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", FAULTS)
def test_while_the_cdi_directory_fails_known_claims_are_answered_and_can_be_unprepared(node, fault):
    _, of_claim = whole(node)
    node.reset()
    begin, end, armed = node.fault(FAULTS[fault], node.cdi)
    before = [step("prepare", "a", "b"), begin]
    during = [
        step("prepare", "a"),
        step("unprepare", "a"),
        step("prepare", "c"),
        step("unprepare", "c"),
    ]
    after = [step("prepare", "c")]
    run = node.run(*before, *during, end, *after, **armed)
    told = [e for e in run.events if e.call == "answer"]
    assert [len(errors(e)) for e in told] == [0, 0, 0, 1, 0, 0]
    check_text(node, errors(told[3])[0])
    assert run.answers[1]["answers"]["a"] == of_claim["a"]
    assert node.prepared() == {"b", "c"}
