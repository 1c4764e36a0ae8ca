"""The scenario all crash tests break: what the kubelet asks, and what must hold after any end of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from crash_kit.interposer import Event
from crash_kit.node import Node, Run, errors, step

STEPS = [
    step("prepare", "a", "b"),
    step("prepare", "a", "b"),
    step("unprepare", "a"),
    step("prepare", "a"),
    step("unprepare", "a"),
    step("prepare", "c"),
]


def whole(node: Node) -> tuple[Run, dict[str, dict]]:
    """Run the scenario without trouble; returns the run, and each claim's answer when it is prepared."""
    run = node.run(*STEPS)
    assert len(run.answers) == len(STEPS)
    assert node.prepared() == {"b", "c"}
    of_claim = {}
    for told in run.answers:
        for name, claim in told["answers"].items():
            assert claim["error"] == ""
            if told["call"] == "prepare":
                assert claim == of_claim.setdefault(name, claim)
    return run, of_claim


@dataclass(frozen=True)
class Progress:
    """How far the scenario came: the claims that are prepared for sure, and those that may be or not."""

    steps: int
    held: frozenset[str]
    doubtful: frozenset[str]

    @classmethod
    def of(cls, events: list[Event]) -> Progress:
        """Read it from what was asked and answered without an error."""
        steps, held, doubtful = 0, set(), set()
        for event in events:
            names = (
                set(json.loads(event.data)["claims"])
                if event.call in {"asked", "answer"}
                else set()
            )
            if event.call == "asked":
                doubtful |= names - held if STEPS[steps]["call"] == "prepare" else names
            elif event.call == "answer" and not errors(event):
                held = held | names if STEPS[steps]["call"] == "prepare" else held - names
                doubtful -= names
                steps += 1
        return cls(steps, frozenset(held - doubtful), frozenset(doubtful))


def check_recovery(node: Node, events: list[Event], of_claim: dict[str, dict]) -> None:
    """Start on what is left after `events`, and let the kubelet go on from there."""
    assert node.run().code == 0
    check_claims(node, events, of_claim)


def check_claims(node: Node, events: list[Event], of_claim: dict[str, dict]) -> None:
    """All that was answered holds, and all that the kubelet may ask next is answered as without trouble."""
    progress = Progress.of(events)
    assert node.prepared() - progress.doubtful == progress.held
    again = [step("prepare", name) for name in sorted(progress.held)]
    ends = [step("unprepare", "b", "c"), step("unprepare", "a")]
    for told in node.run(*again, *STEPS[progress.steps :], *ends).answers:
        for name, claim in told["answers"].items():
            if told["call"] == "prepare":
                assert claim == of_claim[name]
            assert claim["error"] == ""
    assert node.prepared() == set()
