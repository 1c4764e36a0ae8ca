"""The scenario all crash tests break: what the kubelet asks, and what must hold after any end of it."""

from __future__ import annotations

from crash_kit.node import Node, Run, step

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


def held_after(answered: int) -> set[str]:
    """Claims that are prepared once that many steps were answered."""
    held: set[str] = set()
    for done in STEPS[:answered]:
        names = set(done["claims"])
        held = held | names if done["call"] == "prepare" else held - names
    return held


def in_flight(answered: int) -> set[str]:
    """Claims whose step was not answered: they may be prepared or not."""
    return set(STEPS[answered]["claims"]) if answered < len(STEPS) else set()


def check_recovery(node: Node, answered: int, of_claim: dict[str, dict]) -> None:
    """Start on what is left, after `answered` steps, and let the kubelet go on from there."""
    assert node.run().code == 0
    check_claims(node, answered, of_claim)


def check_claims(node: Node, answered: int, of_claim: dict[str, dict]) -> None:
    """All that was answered holds, and all that the kubelet may ask next is answered as without trouble."""
    doubtful, held = in_flight(answered), held_after(answered) - in_flight(answered)
    assert node.prepared() - doubtful == held
    again = [step("prepare", name) for name in sorted(held)]
    rest = STEPS[answered:] if answered < len(STEPS) else []
    run = node.run(*again, *rest, step("unprepare", "b", "c"), step("unprepare", "a"))
    for told in run.answers:
        for name, claim in told["answers"].items():
            if told["call"] == "prepare":
                assert claim == of_claim[name]
            assert claim["error"] == ""
    assert node.prepared() == set()
