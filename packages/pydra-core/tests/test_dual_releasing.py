"""When a device counts as released: what the kubelet lists, what it leaves out, and for how long. In virtual time."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field

import pytest
import virtual_time

from pydra_core._legacy.podresources import Listing
from pydra_core._legacy.releasing import AGAIN, APART, EMPTY, EVERY, GRACE, Releasing
from pydra_core._legacy.vetoing import RENEW, Veto
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import DeviceBusyError, HostError

CARD = "acme.example/card"
NODE = "node-1"
OURS = ("kube-system", "card-driver-x7k2p")
SOON = 2 * (APART + EVERY)
LONG = 3 * GRACE
passed = asyncio.sleep  # of virtual time: nobody waits for it


@dataclass(frozen=True)
class Given:
    """A device ID in the hands of a pod, by the ledger."""

    resource: str
    id: str
    since: float


@dataclass
class Node:
    """Pods with their devices as the kubelet lists them, and what the driver holds for them."""

    pods: dict[tuple[str, str], list[str]] = field(default_factory=lambda: {OURS: []})
    away: str = ""
    given: dict[str, Given] = field(default_factory=dict)
    offered: frozenset[str] = frozenset({"card-0", "card-1"})
    busy: frozenset[str] = frozenset()
    released: list[str] = field(default_factory=list)
    refused: int = 0
    asked: int = 0
    inits: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    known: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    file: frozenset = frozenset()
    renewed: list[float] = field(default_factory=list)

    def init(self, name):
        """A pod whose init container alone has it: it is listed without, and the file has it."""
        pod = ("default", f"init-{name}")
        self.give(name)
        self.pods[pod], self.inits[pod] = [], [name]
        self.known[pod] = [name]
        self.write()

    def end(self, name):
        """The pod is gone; the kubelet forgets it when it is asked, and its file has it until it writes."""
        pod = ("default", f"init-{name}")
        del self.pods[pod], self.inits[pod]

    def write(self):
        self.file = frozenset((CARD, name) for names in self.known.values() for name in names)

    def renew(self):
        self.renewed.append(time.monotonic())
        self.write()

    def give(self, name):
        self.given[name] = Given(CARD, name, time.monotonic())

    async def list(self):
        self.asked += 1
        if self.away:
            raise HostError(f"pod-resources socket: {self.away}")
        self.known = dict(self.inits)
        held = {(CARD, i): "/".join(pod) for pod, ids in self.pods.items() for i in ids}
        return Listing(frozenset(self.pods), held)

    def held(self):
        return tuple(self.given.values())

    def offers(self, name):
        return name[0] == CARD and name[1] in self.offered

    async def release(self, held):
        if self.refused:
            self.refused -= 1
            return "device is being reset"
        self.released.append(held.id)
        del self.given[held.id]
        return ""

    async def allocate(self, resource, ids, deadline):
        del resource, deadline
        for name in ids:
            if name in self.busy:
                raise DeviceBusyError(f"device {name!r}: still in the hands of claim default/c")
            self.give(name)


@pytest.fixture
def play(monkeypatch):
    """Runs a story with the loop looking beside it."""

    def run(story, *, in_pod=True):
        node = Node()

        async def both():
            metrics, clock = Metrics("d"), time.monotonic  # the virtual one
            look = Releasing(
                node, node.offers, node.list, metrics, node=NODE, in_pod=in_pod, clock=clock
            )
            look.kept = Veto(lambda: node.file, node.renew).kept
            looking = asyncio.create_task(look.run())
            try:
                await story(node, look)
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

        virtual_time.run(both(), monkeypatch)
        return node

    return run


async def has_been_given(node, *names):
    """Pods that have run for longer than anything takes here."""
    for name in names:
        node.give(name)
        node.pods["default", f"pod-{name}"] = [name]
    await passed(LONG)


def test_a_device_is_released_once_its_pod_is_gone_and_not_before(play):
    async def story(node, _):
        await has_been_given(node, "card-0", "card-1")
        assert node.released == []
        del node.pods["default", "pod-card-0"]
        await passed(SOON)
        assert node.released == ["card-0"]

    assert set(play(story).given) == {"card-1"}


def test_a_device_that_is_missing_from_a_single_list_stays_held(play):
    async def story(node, look):
        await has_been_given(node, "card-0")
        for _ in range(5):
            pod = node.pods.pop(("default", "pod-card-0"))
            await look.look()
            node.pods["default", "pod-card-0"] = pod
            await passed(SOON)

    assert play(story).released == []


def test_what_was_just_given_is_not_listed_before_its_pod_is_admitted(play):
    async def story(node, look):
        node.give("card-0")
        look.look_again()
        await passed(GRACE - 1)
        assert node.released == []
        node.pods["default", "late"] = ["card-0"]
        await passed(LONG)

    assert play(story).released == []


def test_a_pod_that_was_admitted_and_is_gone_is_not_waited_for_longer(play):
    async def story(node, look):
        node.give("card-0")
        node.pods["default", "short"] = ["card-0"]
        await look.look()
        del node.pods["default", "short"]
        await passed(SOON)

    assert SOON < GRACE
    assert play(story).released == ["card-0"]


def test_what_a_pod_had_and_the_next_is_just_getting_stays_held(play):
    async def story(node, _):
        await has_been_given(node, "card-0")
        del node.pods["default", "pod-card-0"]
        node.give("card-0")
        await passed(GRACE - 1)
        assert node.released == []

    play(story)


def test_a_pod_that_was_never_admitted_keeps_nothing_after_the_grace(play):
    async def story(node, look):
        node.give("card-0")
        look.look_again()
        await passed(GRACE + SOON)

    assert play(story).released == ["card-0"]


def test_a_kubelet_that_cannot_be_reached_releases_nothing_and_says_so_once(play, caplog):
    async def story(node, look):
        await has_been_given(node, "card-0")
        node.pods = {OURS: []}
        node.away = "nobody answers"
        await passed(LONG)
        assert node.released == []
        assert "nobody answers" in look.problem
        node.away = ""
        await passed(SOON)
        assert (look.problem, node.released) == ("", ["card-0"])

    with caplog.at_level("INFO"):
        play(story)
    told = [r.getMessage() for r in caplog.records]
    assert told[:2] == ["releases are not seen", "releases are seen again"]


@pytest.mark.parametrize("away", ["restarting", ""], ids=["away", "without-pods"])
def test_being_missing_before_and_after_a_time_without_the_kubelet_is_no_proof(play, away):
    async def story(node, look):
        await has_been_given(node, "card-0")
        pod = node.pods.pop(("default", "pod-card-0"))
        await look.look()
        others, node.pods, node.away = node.pods, {}, away
        await passed(LONG)
        node.pods, node.away = others, ""
        await look.look()
        node.pods["default", "pod-card-0"] = pod
        await passed(SOON)

    assert play(story).released == []


@pytest.mark.parametrize("pods", [{}, {("kube-system", f"etcd-{NODE}"): []}])
def test_a_kubelet_that_knows_no_pod_of_the_api_server_yet_releases_nothing(play, pods):
    """It has just started: static pods are its own, and the one this driver is in is missing too."""

    async def story(node, _):
        await has_been_given(node, "card-0")
        node.pods = pods
        await passed(LONG)
        assert node.released == []
        node.pods = {**pods, OURS: []}
        await passed(SOON)

    assert play(story).released == ["card-0"]


def test_outside_of_a_pod_an_empty_node_is_believed_after_a_while(play):
    async def story(node, _):
        await has_been_given(node, "card-0")
        node.pods = {}
        await passed(EMPTY - 1)
        assert node.released == []
        await passed(1 + SOON)

    assert play(story, in_pod=False).released == ["card-0"]


def test_a_release_that_fails_is_tried_again(play):
    async def story(node, _):
        await has_been_given(node, "card-0")
        node.refused = 3
        del node.pods["default", "pod-card-0"]
        await passed(SOON + AGAIN)
        assert node.released == []
        await passed(2 * (AGAIN + APART))

    assert play(story).released == ["card-0"]


def test_what_a_pod_has_and_nobody_held_is_held_from_then_on(play):
    """The journal was lost, or another device plugin served the resource before."""

    async def story(node, _):
        node.pods["default", "old"] = ["card-0", "of-another-plugin"]
        await passed(SOON)
        assert set(node.given) == {"card-0"}
        del node.pods["default", "old"]
        await passed(GRACE + SOON)

    assert play(story).released == ["card-0"]


def test_being_listed_before_and_after_a_time_without_the_kubelet_is_no_proof_either(play):
    async def story(node, look):
        node.pods["default", "old"] = ["card-0"]
        await look.look()
        node.away = "restarting"
        await passed(LONG)
        node.away = ""
        await look.look()
        assert node.given == {}
        await passed(SOON)

    assert set(play(story).given) == {"card-0"}


def test_what_a_pod_has_at_the_first_look_is_held_at_once(play):
    """Claims may be waiting for what is about to be published."""

    async def story(node, look):
        node.pods["default", "old"] = ["card-0"]
        await look.look(first=True)
        assert set(node.given) == {"card-0"}
        node.pods["default", "late"] = ["card-1"]
        await look.look()
        assert set(node.given) == {"card-0"}

    play(story)


def test_a_device_in_two_hands_is_an_error_told_once(play, caplog):
    async def story(node, _):
        node.busy = frozenset({"card-0"})
        node.pods["default", "old"] = ["card-0"]
        await passed(LONG)

    play(story)
    (told,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert (told.id, told.pod) == ("card-0", "default/old")
    assert "in the hands of claim default/c" in told.why


def test_a_driver_that_serves_claims_alone_does_not_ask_the_kubelet_unless_pods_have_devices(play):
    async def story(node, look):
        look.active = lambda: False
        await passed(LONG)
        assert node.asked == 0
        await has_been_given(node, "card-0")
        del node.pods["default", "pod-card-0"]
        await passed(SOON)
        assert node.released == ["card-0"]
        seen = node.asked
        await passed(LONG)
        assert node.asked - seen <= 1

    play(story)


def test_an_instance_that_does_not_lead_neither_asks_nor_releases(play):
    async def story(node, look):
        await has_been_given(node, "card-0")
        look.leads = lambda: False
        await passed(EVERY)
        asked = node.asked
        del node.pods["default", "pod-card-0"]
        await passed(LONG)
        assert (node.asked, node.released) == (asked, [])

    play(story)


def test_a_node_that_was_empty_twice_for_a_while_was_not_empty_for_long(play):
    async def story(node, _):
        await has_been_given(node, "card-0")
        pods = node.pods
        for _ in range(2):
            node.pods = {}
            await passed(EMPTY - EVERY - 2)
            node.pods = pods
            await passed(SOON)

    assert play(story, in_pod=False).released == []


def test_what_is_missing_is_looked_for_again_as_soon_as_that_can_tell(play):
    async def story(node, look):
        await has_been_given(node, "card-0")
        del node.pods["default", "pod-card-0"]
        look.look_again()
        await passed(2 * APART)
        assert node.released == ["card-0"]

    assert 2 * APART < EVERY
    play(story)


def test_the_kubelet_is_asked_seldom_also_after_it_was_asked_for_once(play):
    async def story(node, look):
        await has_been_given(node, "card-0")
        look.look_again()
        await passed(EVERY)
        asked = node.asked
        await passed(10 * EVERY)
        assert 5 <= node.asked - asked <= 10

    play(story)


def test_many_devices_that_are_given_within_a_moment_are_few_questions(play):
    async def story(node, look):
        await has_been_given(node, "card-0")
        asked = node.asked
        for _ in range(100):
            look.look_again()
            await passed(0.01)
        assert 1 <= node.asked - asked <= 3

    play(story)


def test_a_node_that_was_empty_before_and_after_a_time_without_the_kubelet_was_not_empty_for_long(
    play,
):
    async def story(node, look):
        await has_been_given(node, "card-0")
        for away in ("", "restarting", ""):
            node.pods, node.away = {}, away
            await look.look()
            await passed(EMPTY - 2 * EVERY)
        assert node.released == []
        await passed(EMPTY)

    assert play(story, in_pod=False).released == ["card-0"]


def test_a_node_that_is_empty_from_the_beginning_is_believed_after_a_while(play):
    async def story(node, _):
        node.pods = {}
        node.give("card-0")
        await passed(GRACE + EMPTY + SOON)

    assert play(story, in_pod=False).released == ["card-0"]


def test_a_device_that_is_in_two_hands_again_is_an_error_again(play, caplog):
    async def story(node, _):
        for busy in ({"card-0"}, set(), {"card-0"}):
            node.busy = frozenset(busy)
            node.pods["default", "old"] = ["card-0"]
            await passed(LONG)
            del node.pods["default", "old"]
            await passed(LONG)

    play(story)
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 2


def test_what_only_an_init_container_has_is_kept_as_long_as_its_pod_is_there(play, caplog):
    async def story(node, _):
        node.init("card-0")
        await passed(20 * GRACE)
        assert node.released == []
        node.end("card-0")
        await passed(RENEW + 2 * SOON)
        assert node.released == ["card-0"]

    with caplog.at_level("INFO"):
        play(story)
    told = [r.getMessage() for r in caplog.records]
    assert told.count("no pod is listed with a device that the kubelet has given") == 1


def test_a_file_that_keeps_what_ended_is_renewed_at_once_and_the_device_released(play):
    """As after a pod that was never admitted, or one that was deleted while its init container ran."""

    async def story(node, _):
        node.init("card-0")
        node.end("card-0")
        await passed(GRACE + 2 * SOON)
        assert len(node.renewed) == 1

    assert play(story).released == ["card-0"]


def test_the_kubelet_is_made_to_write_its_file_seldom_however_many_devices_are_kept(play):
    async def story(node, look):
        for name in ("card-0", "card-1"):
            node.init(name)
        for _ in range(100):
            look.look_again()
            await passed(RENEW / 10)

    renewed = play(story).renewed
    assert 5 <= len(renewed) <= 10
    assert all(later - first >= RENEW for first, later in itertools.pairwise(renewed))


def test_a_file_that_nobody_writes_keeps_the_device(play):
    async def story(node, look):
        look.kept = Veto(lambda: node.file, lambda: None).kept
        node.init("card-0")
        node.end("card-0")
        await passed(LONG)
        assert node.released == []
        node.write()
        await passed(SOON)

    assert play(story).released == ["card-0"]


def test_what_was_listed_once_is_released_whatever_the_file_has(play):
    async def story(node, _):
        await has_been_given(node, "card-0")
        node.file = frozenset({(CARD, "card-0")})
        del node.pods["default", "pod-card-0"]
        await passed(SOON)
        assert (node.released, node.renewed) == (["card-0"], [])

    play(story)


def test_what_was_listed_and_is_then_an_init_containers_is_kept(play):
    async def story(node, _):
        await has_been_given(node, "card-0")
        del node.pods["default", "pod-card-0"]
        node.init("card-0")
        await passed(LONG)

    assert play(story).released == []


def test_a_file_without_it_keeps_nothing_longer_than_the_grace(play):
    async def story(node, _):
        node.give("card-0")
        node.file = frozenset({(CARD, "card-1"), ("acme.example/disk", "card-0")})
        await passed(GRACE + SOON)
        assert (node.released, node.renewed) == (["card-0"], [])

    play(story)


def test_what_a_pod_has_from_another_boot_is_prepared_again_once(play):
    """Where claims are served too, no kubelet tells of containers that start."""

    async def story(node, _):
        pod = ("default", "old")
        node.pods[pod] = ["card-0"]
        node.given["card-0"] = Given(CARD, "card-0", 0.0)
        await passed(SOON)
        assert node.given["card-0"].since > 0
        since = node.given["card-0"].since
        await passed(SOON)
        assert node.given["card-0"].since == since
        assert node.released == []

    play(story)
