"""The rules and the invariants: what a kubelet, its users and its enemies do, and what must hold whatever they do."""

from __future__ import annotations

import errno
import itertools
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from claim_model.door import NAME
from claim_model.node import FAULTS, SLOTS, Node, Zygote

ABSENT, PREPARED, UNSURE = "absent", "prepared", "unsure"
HURRY, PATIENCE = 0.045, 15
"""Seconds of a call's deadline: too short for a second try, and long enough for any."""
MODES = (
    "raise before",
    "raise after",
    "break after",
    "reset before",
    "reset after",
    "raise unprepare",
)


@dataclass
class Claim:
    """A claim, and what the kubelet knows of it."""

    name: str
    uid: str
    uses: tuple[tuple[str, str, bool], ...]
    """Device, share ID, admin access."""
    state: str = ABSENT
    current: bool = True
    """Whether the API server still has it."""
    held: str = ""
    """The slot in which its prepare hangs in the driver."""
    mode: str = ""
    spec: bytes | None = None
    """Its spec file's content, once it is surely there."""
    boot: int = 0
    """When it was last prepared."""

    @property
    def results(self):
        return [
            {"request": f"r{i}", "driver": NAME, "pool": "node", "device": device}
            | ({"shareID": share} if share else {})
            | ({"adminAccess": True} if admin else {})
            for i, (device, share, admin) in enumerate(self.uses)
        ]

    @property
    def answer(self):
        return [
            [
                f"r{i}",
                "node",
                device,
                share,
                f"{NAME}/claim={_joined(self.uid, f'r{i}', device, share)}",
            ]
            for i, (device, share, _) in enumerate(self.uses)
        ]

    @property
    def hardware(self):
        """What a driver that changes hardware leaves of it."""
        return {f"{d}.{s}".rstrip("."): self.uid for d, s, admin in self.uses if not admin}

    def excludes(self, other):
        return any(
            one == two and not (a or b) and ("" in (share, share2) or share == share2)
            for one, share, a in self.uses
            for two, share2, b in other.uses
        )


def _joined(*parts):
    return "_".join(p for p in parts if p)


_SHARES = [str(uuid.UUID(int=n)) for n in (10, 11)]
_use = st.tuples(
    st.sampled_from(["card-0", "card-1", "card-2"]),
    st.sampled_from(["", "", *_SHARES]),
    st.sampled_from([False, False, False, True]),
)
_uses = st.lists(_use, min_size=1, max_size=2, unique_by=lambda use: use[0]).map(tuple)
_number = st.integers(0, 9)
_slot = st.integers(0, 1)
_name = st.sampled_from(sorted(SLOTS))
_verb = st.sampled_from(["prepare", "prepare", "prepare", "unprepare"])
_calls = st.lists(st.tuples(_verb, _number), max_size=3)
_event = st.one_of(
    st.tuples(st.just("make_claim"), _uses),
    st.tuples(st.just("replace_claim"), _number, _uses),
    st.tuples(st.just("start"), _name),
    st.tuples(
        st.just("start_doomed"),
        _name,
        st.integers(1, 40),
        st.sampled_from(["before", "after", "torn"]),
    ),
    st.tuples(
        st.just("start_flaky"),
        _name,
        st.integers(1, 40),
        st.sampled_from([errno.EIO, errno.ENOSPC]),
        st.integers(1, 3),
    ),
    st.tuples(st.just("end"), _slot, st.booleans()),
    st.tuples(st.just("reboot")),
    st.tuples(st.just("api_server_comes_or_goes")),
    st.tuples(st.just("disk_breaks_or_is_mended"), st.sampled_from(sorted(FAULTS))),
    st.tuples(st.just("driver_misbehaves"), _number, st.sampled_from(MODES)),
    st.tuples(st.just("kubelet_calls_both"), _calls, _calls),
    st.tuples(st.just("kubelet_gives_up"), _slot, _number, st.sampled_from(["before", "after"])),
    st.tuples(st.just("driver_hangs_no_more")),
    st.tuples(st.just("instance_looks_after_the_others"), _slot),
    st.tuples(st.just("come_to_rest"), st.booleans()),
)


class Claims(RuleBasedStateMachine):
    """One node, and a kubelet that does anything it may."""

    zygote: ClassVar[Zygote]
    switched: ClassVar[bool]

    def __init__(self):
        super().__init__()
        memory = Path("/dev/shm")
        self.root = Path(tempfile.mkdtemp(prefix="pd-", dir=memory if memory.is_dir() else None))
        self.node = Node(self.zygote, self.root / "n", self.switched, compacting=not self.switched)
        self.claims: list[Claim] = []
        self.reachable = True
        self.faults: set[str] = set()
        self.tidy = True
        """Whether nothing can have been left behind that only the next start removes."""
        self._tell_api()

    def teardown(self):
        try:
            if self.claims:
                self.come_to_rest(kill=True)
                self.let_go_of_everything()
        finally:
            self.node.close()
            shutil.rmtree(self.root)

    # What happens.

    @initialize(uses=st.lists(_uses, min_size=3, max_size=6))
    def begin(self, uses):
        for each in uses:
            self.make_claim(each)
        self.start("old")

    @rule(events=st.lists(_event, max_size=2), slot=_slot, calls=_calls)
    def goes_on(self, events, slot, calls):
        """Things happen, then the kubelet calls. One rule, for Hypothesis leaves out rules in whole runs."""
        for name, *arguments in events:
            getattr(self, name)(*arguments)
        if not self.node.instances:
            self.start("old")
        if calls and self.node.instances:
            self.kubelet_calls(self._slot(slot), calls)

    def make_claim(self, uses):
        if len(self.claims) < 12:
            self._claim(f"claim-{len(self.claims)}", uses)

    def replace_claim(self, number, uses):
        """Delete it and make another of its name; the kubelet still holds the old one's UID."""
        old = self._pick(number)
        if old.current and len(self.claims) < 12:
            old.current = False
            self._claim(old.name, uses)

    def start(self, slot):
        if slot not in self.node.instances:
            self._started(self.node.start(slot))

    def start_doomed(self, slot, after, how):
        """Start an instance that is killed at one of its next changes of the disk."""
        if slot not in self.node.instances and self.zygote.breaks_disks:
            self.tidy = False
            self._started(self.node.start(slot, doom=f"{after}:{how}"), excused=True)

    def start_flaky(self, slot, after, fault, count):
        """Start an instance for which some of its next changes of the disk fail, and only those."""
        if slot not in self.node.instances and self.zygote.breaks_disks:
            self.tidy = False
            self._started(self.node.start(slot, fail=f"{after}:{fault}:{count}"), excused=True)

    def end(self, slot, kill):
        if self.node.instances:
            name = self._slot(slot)
            self.node.end(name, kill=kill)
            self._gone(name)

    def reboot(self):
        self.node.reboot()
        for slot in SLOTS:
            self._gone(slot)
        for claim in self.claims:
            claim.spec = None

    def api_server_comes_or_goes(self):
        self.reachable = not self.reachable
        self._tell_api()

    def disk_breaks_or_is_mended(self, name):
        if self.faults or not self.zygote.breaks_disks:
            self.disk_is_mended()
            return
        self.faults.add(name)
        self.tidy = False
        self.node.fault(name, there=True)

    def disk_is_mended(self):
        for name in self.faults:
            self.node.fault(name, there=False)
        self.faults.clear()

    def driver_misbehaves(self, number, mode):
        claim = self._pick(number)
        self._mode(claim, "" if claim.mode else mode)

    def kubelet_calls(self, slot, calls):
        """Claims of one call and of calls at the same time."""
        self._ask(slot, self._chosen(calls))
        self._hear([slot])

    def kubelet_calls_both(self, one, two):
        if len(self.node.instances) == 2:
            names = sorted(self.node.instances)
            for name, calls in zip(names, (one, two), strict=True):
                self._ask(name, self._chosen(calls), alone=False)
            self._hear(names)

    def kubelet_gives_up(self, slot, number, when):
        """The driver hangs, before or after it changed the hardware; the kubelet's call is cancelled."""
        claim = self._pick(number)
        if not claim.held and self.node.instances:
            self._mode(claim, f"hold {when}")
            self._ask(self._slot(slot), [("prepare", claim)], do="give_up")
            self._hear([self._slot(slot)])
            self._mode(claim, "")

    def driver_hangs_no_more(self):
        for slot in {c.held for c in self.claims} - {""}:
            if self.node.ask(slot, do="release") is None:
                self._gone(slot)
        for claim in self.claims:
            claim.held = ""

    def instance_looks_after_the_others(self, slot):
        if self.node.instances:
            name = self._slot(slot)
            if self.node.ask(name, do="watch") is None:
                self._gone(name)

    def come_to_rest(self, kill):
        """Everything is mended and started again: nothing is half done, and nothing is left over."""
        for slot in list(self.node.instances):
            self.node.end(slot, kill=kill)
            self._gone(slot)
        self.disk_is_mended()
        for claim in self.claims:
            self._mode(claim, "")
        self.reachable = True
        self._tell_api()
        self.start("old")
        self._check_rest()

    # What must hold.

    @invariant()
    def nothing_is_lost_or_given_twice(self):
        disk = self.node.disk()
        known = {c.uid: c for c in self.claims}
        holders = [known[r.uid] for r in (*disk.ledger.all_prepared(), *disk.ledger.all_intents())]
        for one, two in itertools.combinations(holders, 2):
            assert one is not two
            assert not one.excludes(two), f"given twice: {one} {two}"
        for claim in self.claims:
            if claim.state == PREPARED:
                self._check_prepared(claim, disk)
            elif claim.state == ABSENT:
                assert claim not in holders, f"still in the journal: {claim}"
                if self.tidy:
                    assert claim.uid not in disk.specs, f"spec file left: {claim}"
                assert claim.uid not in disk.hardware.values(), f"hardware left: {claim}"

    def _check_prepared(self, claim, disk):
        record = disk.ledger.prepared(claim.uid)
        assert record, f"lost: {claim}"
        told = [[a.request, a.pool, a.device, a.share_id, *a.cdi_ids] for a in record.answers]
        assert told == claim.answer
        assert claim.spec in (None, disk.specs.get(claim.uid)), f"spec file lost: {claim}"
        if self.switched and claim.boot == self.node.boot:
            for place, uid in claim.hardware.items():
                assert disk.hardware.get(place) == uid, f"hardware lost: {claim}"

    def _check_rest(self):
        disk = self.node.disk()
        prepared = {r.uid: r for r in disk.ledger.all_prepared()}
        assert disk.ledger.all_intents() == (), "half done"
        assert set(disk.specs) == set(prepared), "spec files and prepared claims differ"
        assert not disk.others, "temporary files left"
        hardware = {}
        for claim in self.claims:
            if claim.state == UNSURE:
                claim.state = PREPARED if claim.uid in prepared else ABSENT
                claim.boot = self._boot_of(prepared.get(claim.uid))
            assert (claim.state == PREPARED) == (claim.uid in prepared), claim
            if claim.state == PREPARED and claim.boot == self.node.boot:
                hardware |= claim.hardware
        assert disk.hardware == (hardware if self.switched else {})

    def let_go_of_everything(self):
        """The kubelet unprepares all it ever asked for: the node is empty."""
        self._ask("old", [("unprepare", c) for c in self.claims])
        self._hear(["old"])
        disk = self.node.disk()
        assert (*disk.ledger.all_prepared(), *disk.ledger.all_intents()) == ()
        assert (disk.specs, disk.others, disk.hardware) == ({}, set(), {})

    # What the kubelet is told, and what it may conclude.

    def _ask(self, slot, calls, *, alone=True, do="calls"):
        """Send calls; those that must succeed get time, and are remembered."""
        self._musts = {} if alone else getattr(self, "_musts", {})
        must = [self._must(verb, claim, slot, calls) and alone for verb, claim in calls]
        told = [(verb, claim.uid, claim.name) for verb, claim in calls]
        seconds = PATIENCE if all(must) else HURRY
        self._musts[slot] = (calls, [m and seconds == PATIENCE for m in must])
        self.node.instances[slot].send(do=do, calls=told, seconds=seconds)

    def _hear(self, slots):
        asked = {slot: self._musts[slot] for slot in slots}
        outcomes = {}
        for slot, (calls, musts) in asked.items():
            answers = self.node.hear(slot)
            if answers is None:
                self._gone(slot)
                answers = [None] * len(calls)
            for (verb, claim), must, answer in zip(calls, musts, answers, strict=True):
                sound = slot in self.node.instances and self._is_sound(slot)
                outcomes.setdefault(claim.uid, (claim, []))[1].append((verb, answer, sound))
                self._check_answer(verb, claim, answer, must=must)
                if answer is None and slot in self.node.instances:
                    claim.held = slot
        for claim, answers in outcomes.values():
            self._conclude(claim, answers)
        self._remember_specs(c for c, _ in outcomes.values())
        sure = [c for c in self.claims if c.state == PREPARED]
        for one, two in itertools.combinations(sure, 2):
            assert not one.excludes(two), f"given twice: {one} {two}"

    def _check_answer(self, verb, claim, answer, *, must):
        if answer is None:
            return
        if answer["error"]:
            assert not must, f"{verb} {claim}: {answer['error']}"
            assert f"claim default/{claim.name}" in answer["error"]
            assert "given twice" not in answer["error"]
            assert "state is lost" not in answer["error"]
        elif verb == "prepare":
            assert answer["devices"] == claim.answer

    def _conclude(self, claim, answers):
        """A prepared claim stays prepared whatever becomes of another prepare, unless hardware is set anew."""
        verbs = {verb for verb, *_ in answers}
        good = [verb for verb, a, _ in answers if a and not a["error"]]
        if verbs == {"prepare"} and good:
            if claim.state != PREPARED or claim.boot != self.node.boot:
                claim.spec = None
            claim.state = PREPARED
            if self.switched or not claim.boot:
                claim.boot = self.node.boot
        elif verbs == {"prepare"} and self._changes_nothing(claim, answers):
            pass
        elif verbs == {"unprepare"} and len(good) == len(answers) and not claim.held:
            claim.state, claim.spec, claim.boot = ABSENT, None, 0
        else:
            claim.state, claim.spec, claim.boot = UNSURE, None, 0

    def _changes_nothing(self, claim, answers):
        """A failed prepare frees its devices at once, where no hardware was touched and the disk works."""
        if claim.state == PREPARED:
            return not self._is_set_anew(claim)
        ended = all(s and a and "has not finished" not in a["error"] for _, a, s in answers)
        return claim.state == ABSENT and not self.switched and ended

    def _is_sound(self, slot):
        instance = self.node.instances[slot]
        return not (self.faults or instance.doomed or instance.flaky)

    def _is_set_anew(self, claim):
        return self.switched and claim.boot != self.node.boot

    def _remember_specs(self, claims):
        specs = self.node.disk().specs
        for claim in claims:
            if claim.state == PREPARED and claim.spec is None and claim.uid in specs:
                claim.spec = specs[claim.uid]

    def _must(self, verb, claim, slot, calls):
        """Whether nothing excuses a failure."""
        alone = [c for _, c in calls].count(claim) == 1
        broken = not self._is_sound(slot) or claim.mode or claim.held
        if verb == "unprepare" and claim.state == ABSENT and alone and not claim.held:
            return True
        if broken or not alone or (claim.state == UNSURE and len(self.node.instances) == 2):
            return False
        if verb == "unprepare" or (claim.state == PREPARED and not self._is_set_anew(claim)):
            return True
        rivals = [c for c in self.claims if c is not claim and claim.excludes(c)]
        asked = [c for _, c in calls]
        free = all(c.state == ABSENT and not c.held and c not in asked for c in rivals)
        return claim.current and self.reachable and free

    # The state of the world.

    def _pick(self, number):
        return self.claims[number % len(self.claims)]

    def _slot(self, number):
        return sorted(self.node.instances)[number % len(self.node.instances)]

    def _chosen(self, calls):
        return [(verb, self._pick(number)) for verb, number in calls]

    def _claim(self, name, uses):
        number = len(self.claims) + 1
        self.claims.append(Claim(name, str(uuid.UUID(int=number << 64)), uses))
        self._tell_api()

    def _tell_api(self):
        if self.reachable:
            current = [c for c in self.claims if c.current]
            content = {c.name: {"uid": c.uid, "results": c.results} for c in current}
            self.node.write("table", content)
        else:
            (self.node.root / "table").unlink(missing_ok=True)

    def _mode(self, claim, mode):
        claim.mode = mode
        self.node.write("modes", {c.uid: c.mode for c in self.claims if c.mode})

    def _started(self, alive, *, excused=False):
        """After a start everything prepared has its spec file, and only that, unless the disk was broken."""
        assert alive or excused or self.faults, self.node.told()
        if alive and not excused and not self.faults:
            self.tidy = True
            self._remember_specs(self.claims)
            missing = [c for c in self.claims if c.state == PREPARED and c.spec is None]
            assert not missing, f"without spec files: {missing}"

    def _gone(self, slot):
        """An instance died: it may have been about to remove a file, and nothing hangs in it any more."""
        self.tidy = False
        for claim in self.claims:
            if claim.held == slot:
                claim.held = ""

    @staticmethod
    def _boot_of(record):
        return int(record.boot.removeprefix("boot-")) if record else 0
