"""Who has which device IDs, on a claim path and a journal of their own: given, given again, let go of, read back."""

from __future__ import annotations

import asyncio
import time

import pytest

from pydra_cdi import ContainerEdits
from pydra_core import Claim, ClaimRef, Device, Driver, Inventory, PreparedDevice
from pydra_core._api.claims import Claims
from pydra_core._legacy.dual import Dual, Parts
from pydra_core._legacy.holding import Holdings
from pydra_core._legacy.listing import Listing
from pydra_core._legacy.marks import Silicon
from pydra_core._legacy.mode import Wish
from pydra_core._legacy.side import LegacySide
from pydra_core._legacy.units import Offer, Offering
from pydra_core._node.entries import Entries
from pydra_core._node.health.care import Care
from pydra_core._node.prepare import ClaimPath
from pydra_core._node.registration import Registration
from pydra_core._state.instances import ALONE, Instances
from pydra_core._state.journal import Journal
from pydra_core._state.locks import LockFile
from pydra_core._state.records import DeviceAnswer, DeviceUse, Intent, Prepared, Released
from pydra_core._state.spec_files import SpecFiles
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import DeviceGoneError, HostError
from pydra_core.resources import Resource, ResourceDevice
from pydra_core.settings import load

NODE, CARD = "node-1", "acme.example/card"
CARDS = Inventory(*(Device(f"card-{n}") for n in range(4)))


class Cards(Driver):
    name = "card.acme.example"

    def __init__(self):
        super().__init__()
        self.stands_for = {f"id-{n}": (f"card-{n}",) for n in range(3)}
        self.mistake = ""
        self.bad = ""
        self.slow = {}

    async def discover(self) -> Inventory:
        return CARDS

    def resources(self, inventory):
        assert inventory is CARDS
        if self.mistake:
            raise RuntimeError(self.mistake)
        units = (ResourceDevice(id=i, devices=d) for i, d in self.stands_for.items())
        return [Resource(CARD, tuple(units))]

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        for each in claim.allocations:
            if event := self.slow.get(each.device):
                await event.wait()
            if each.device == self.bad:
                raise RuntimeError("on fire")
        return [a.prepared(ContainerEdits(env=[f"CARD={a.device}"])) for a in claim.allocations]


class Switches(Cards):
    """Changes hardware."""

    def __init__(self):
        super().__init__()
        self.lets_go = asyncio.Event()

    async def unprepare(self, prepared):
        assert prepared.ref
        await self.lets_go.wait()


class Node:
    """One driver's holdings; `again` is what the next process finds."""

    def __init__(self, folder, boot="one", driver=Cards):
        self.folder, self.latest = folder, self
        self.driver, self.metrics = driver(), Metrics("card.acme.example")
        self.journal = Journal(folder / "journal")
        instances = self.instances = Instances(self.journal.locks, ALONE, boot)
        self.specs = SpecFiles(folder / "cdi", self.driver.name, NODE)
        claims = Claims(None, self.driver.name, None)  # the API server is asked for nothing
        self.claims = ClaimPath(
            self.driver, claims, self.journal, instances, self.specs, self.metrics
        )
        self.offering = Offering(self.driver.name, NODE)
        self.holdings = Holdings(self.claims, self.journal, self.offering, boot)
        self.offers()

    def offers(self):
        resources = self.driver.resources(CARDS)
        self.holdings.offer = self.offering.make(resources, CARDS, Offer())

    async def allocate(self, *ids, **more):
        return await self.holdings.allocate(CARD, ids, time.monotonic() + 10, **more)

    async def ensure(self, *ids):
        await self.holdings.ensure(CARD, ids, time.monotonic() + 10)

    def has(self):
        return {held.id: [device for _, device in held.keys] for held in self.holdings.held()}

    async def again(self, boot="one"):
        await self.journal.close()
        self.latest = Node(self.folder, boot)
        return self.latest


@pytest.fixture
async def node(tmp_path):
    made = Node(tmp_path)
    yield made
    await made.latest.journal.close()


@pytest.fixture
async def switching(tmp_path):
    made = Node(tmp_path, driver=Switches)
    yield made
    await made.journal.close()


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def test_what_is_given_is_held_since_then_and_since_it_was_given_again(node):
    before = now()
    await node.allocate("id-0")
    (first,) = node.holdings.held()
    assert (first.resource, first.id, first.keys) == (CARD, "id-0", ((NODE, "card-0"),))
    assert before - 1 < first.since <= now()
    while now() < first.since + 0.01:  # noqa: ASYNC110 (a clock)
        await asyncio.sleep(0)
    await node.allocate("id-0")
    (second,) = node.holdings.held()
    assert second.since > first.since
    assert await node.holdings.release(first) == ""
    assert node.has() == {"id-0": ["card-0"]}
    assert await node.holdings.release(second) == ""
    assert node.has() == {}


async def test_what_was_released_already_is_released_without_a_word(node):
    await node.allocate("id-0")
    (held,) = node.holdings.held()
    assert [await node.holdings.release(held) for _ in range(2)] == ["", ""]


async def test_what_another_boot_gave_has_no_time_until_it_is_given_again(node):
    await node.allocate("id-0")
    later = await node.again("two")
    assert [held.since for held in later.holdings.held()] == [0.0]
    (old,) = later.holdings.held()
    await later.ensure("id-0")
    assert [held.since > 0 for held in later.holdings.held()] == [True]
    assert await later.holdings.release(old) == ""
    assert later.has() == {"id-0": ["card-0"]}


async def test_what_fails_undoes_what_it_began_and_nothing_else(node):
    await node.allocate("id-0")
    node.driver.bad = "card-2"
    with pytest.raises(HostError, match="on fire"):
        await node.allocate("id-0", "id-1", "id-2")
    assert node.has() == {"id-0": ["card-0"]}


async def test_an_answer_that_is_of_no_use_undoes_it_too(node):
    def refuse(given):
        assert [record.name for record in given] == ["id-1", "id-0"]
        raise HostError("of no use")

    with pytest.raises(HostError, match="of no use"):
        await node.allocate("id-1", "id-0", check=refuse)
    assert node.has() == {}


async def test_an_allocation_that_is_cancelled_leaves_nothing(node):
    node.driver.slow["card-0"] = asyncio.Event()
    call = asyncio.ensure_future(node.allocate("id-0"))
    while not node.has():  # noqa: ASYNC110 (the journal's thread)
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.sleep(0)
    node.driver.slow["card-0"].set()
    await asyncio.gather(call, return_exceptions=True)
    await node.holdings.close(10.0)
    assert node.has() == {}


async def test_a_release_waits_for_the_allocation_that_is_under_way_and_then_leaves_it(node):
    node.driver.slow["card-0"] = asyncio.Event()
    call = asyncio.ensure_future(node.allocate("id-0"))
    while not node.has():  # noqa: ASYNC110 (the journal's thread)
        await asyncio.sleep(0)
    (begun,) = node.holdings.held()
    assert begun.since == 0.0
    release = asyncio.ensure_future(node.holdings.release(begun))
    await asyncio.sleep(0)
    node.driver.slow["card-0"].set()
    await call
    assert await release == ""
    assert node.has() == {"id-0": ["card-0"]}


async def test_an_id_that_stands_for_other_devices_gives_those_to_the_next_pod_alone(node):
    await node.allocate("id-0")
    node.driver.stands_for["id-0"] = ("card-3",)
    node.offers()
    await node.ensure("id-0")
    assert node.has() == {"id-0": ["card-0"]}
    await node.allocate("id-0")
    assert node.has() == {"id-0": ["card-3"]}


async def test_an_id_that_stands_for_one_device_more_gives_all_to_the_next_pod(node):
    await node.allocate("id-0")
    node.driver.stands_for["id-0"] = ("card-0", "card-3")
    node.offers()
    (given,) = await node.allocate("id-0")
    assert [each.device for each in given.answers] == ["card-0", "card-3"]


async def test_an_id_that_is_offered_no_more_is_gone_for_new_pods_and_stays_with_the_old(node):
    await node.allocate("id-0")
    del node.driver.stands_for["id-0"]
    node.offers()
    await node.ensure("id-0")
    with pytest.raises(DeviceGoneError, match="does not offer it"):
        await node.allocate("id-0")
    assert node.has() == {"id-0": ["card-0"]}


def lost(node):
    """The journal knows as much as a spec file tells: not that it is of a pod."""
    (known,) = node.journal.ledger.all_prepared()
    return Prepared(
        known.uid, "", "", known.uses, known.answers, known.spec, adopted=True, boot=known.boot
    )


async def test_what_was_read_back_from_a_spec_file_is_a_pods_again_by_its_uid(node):
    await node.allocate("id-0")
    adopted = lost(node)
    stranger = Prepared("claim-1", "", "", (DeviceUse(NODE, "card-3"),), (), adopted=True)
    await node.journal.transact(lambda _: [adopted, stranger], durable=False)
    assert node.has() == {}
    await node.holdings.adopt()
    assert node.has() == {"id-0": ["card-0"]}
    await node.ensure("id-0")
    (held,) = node.holdings.held()
    assert held.since > 0


async def test_a_device_without_edits_that_a_spec_file_did_not_tell_is_nobody_elses_meanwhile(node):
    node.driver.stands_for["id-0"] = ("card-0", "card-3")
    node.driver.stands_for["id-3"] = ("card-3",)
    node.offers()
    await node.allocate("id-0")
    adopted = lost(node)
    part = Prepared(
        adopted.uid, "", "", adopted.uses[:1], adopted.answers[:1], adopted.spec, adopted=True
    )
    await node.journal.transact(lambda _: [part], durable=False)
    await node.holdings.adopt()
    node.driver.slow["card-0"] = asyncio.Event()
    call = asyncio.ensure_future(node.allocate("id-0"))
    await settled(node)
    with pytest.raises(HostError, match="still in the hands of a pod"):
        await node.holdings.allocate(CARD, ["id-3"], time.monotonic() + 0.2)
    node.driver.slow["card-0"].set()
    await call
    assert node.has() == {"id-0": ["card-0", "card-3"]}


def tries_of(node):
    """Grows with each try to prepare something for a pod."""
    offered, tries = node.claims.offered, []

    def counted(ref):
        tries.append(ref.name)
        return offered(ref)

    node.claims.offered = counted
    return tries


async def more(tries):
    """Wait until there was another try after a first one."""
    while len(tries) < 2:  # noqa: ASYNC110 (the claim path's own count)
        await asyncio.sleep(0)


BESIDE = (DeviceUse(NODE, "card-0"),)


async def test_a_device_that_somebody_has_is_refused_at_once_for_all_pods_wait_meanwhile(node):
    claim = Prepared("claim-1", "default", "train", BESIDE, ())
    await node.journal.transact(lambda _: [claim], durable=False)
    tries = tries_of(node)
    with pytest.raises(HostError, match="still in the hands of claim default/train"):
        await node.allocate("id-0")
    node.driver.stands_for["id-9"] = ("card-1",)
    node.offers()
    await node.allocate("id-1")
    with pytest.raises(HostError, match="a pod that has it as 'id-1' of resource"):
        await node.allocate("id-9")
    assert tries == ["id-0", "id-1", "id-9"]


async def test_a_device_that_is_being_unprepared_is_waited_for(switching):
    node = switching
    claim = Prepared("claim-1", "default", "train", BESIDE, ())
    await node.journal.transact(lambda _: [claim], durable=False)
    tries = tries_of(node)
    ref = ClaimRef(uid="claim-1", namespace="default", name="train")
    leaving = asyncio.ensure_future(node.claims.unprepare(ref, time.monotonic() + 10))
    call = asyncio.ensure_future(node.allocate("id-0"))
    await more(tries)
    node.driver.lets_go.set()
    await call
    assert (await leaving).error == ""
    assert node.has() == {"id-0": ["card-0"]}


async def begun(node, instance, answers=()):
    """A claim that an instance is at work on; with answers what was prepared is in question."""
    claim = ("claim-1", "default", "train", BESIDE, answers)
    record = Intent(*claim, instance=node.instances.me + instance)
    await node.journal.transact(lambda _: [record], durable=False)
    return tries_of(node)


ANSWERED = (DeviceAnswer("r", NODE, "card-0", "", ()),)


async def test_a_device_that_another_instance_is_unpreparing_is_waited_for(node):
    tries = await begun(node, 1, ANSWERED)
    call = asyncio.ensure_future(node.allocate("id-0"))
    await more(tries)
    await node.journal.transact(lambda _: [Released("claim-1")], durable=False)
    await call
    assert node.has() == {"id-0": ["card-0"]}


@pytest.mark.parametrize(("instance", "answers"), [(1, ()), (0, ANSWERED)])
async def test_a_device_that_is_being_prepared_for_a_claim_is_not_waited_for(
    node, instance, answers
):
    tries = await begun(node, instance, answers)
    with pytest.raises(HostError, match="still in the hands of claim default/train"):
        await node.allocate("id-0")
    assert tries == ["id-0"]


async def test_a_device_that_is_just_being_prepared_for_another_is_not_waited_for(node):
    node.driver.stands_for["id-9"] = ("card-0",)
    node.driver.slow["card-0"] = asyncio.Event()
    node.offers()
    tries = tries_of(node)
    call = asyncio.ensure_future(node.allocate("id-0"))
    await settled(node)
    with pytest.raises(HostError, match="still in the hands of a pod"):
        await node.allocate("id-9")
    assert tries == ["id-0", "id-9"]
    node.driver.slow["card-0"].set()
    await call


async def settled(node):
    """Wait until everything that needs no driver has been done."""
    for _ in range(3):
        await node.journal.transact(lambda _: [], durable=False)


def side_of(node):
    """The whole side of a process on these parts."""
    settings = load(None, {"NODE_NAME": NODE, "KUBELET_ROOT": str(node.folder)}, {})
    listing = Listing(lambda: node.journal.ledger, frozenset, Silicon())
    return LegacySide(
        node.driver, settings, node.claims, node.journal, "one", listing, node.metrics
    )


def dual_of(node):
    """Both sides of a process on these parts, of which the operator wants the older API alone."""
    registration = Registration(node.driver.name, "/dra.sock", node.metrics)
    ledger = node.journal.ledger
    care = Care(node.driver, NODE, lambda: ledger, None, node.metrics, node.folder)
    settings = load(None, {"NODE_NAME": NODE, "KUBELET_ROOT": str(node.folder)}, {})
    known = (node.claims, node.journal, node.instances, care)
    parts = Parts(node.driver, settings, None, registration, *known)
    return Dual(Wish(dra=False, legacy=True), parts, lambda: 0.0)


def told(side):
    """How an instance tells the others that the kubelet knows it on this side."""
    if side == "claims":
        return lambda younger, known: younger.set_registered(registered=known)
    return lambda younger, known: younger.set_gives(gives=known)


@pytest.mark.parametrize("side", ["pods", "claims"])
async def test_in_an_upgrade_releases_are_left_to_the_younger_that_the_kubelet_knows(node, side):
    """Also where claims are not served at all."""
    dual, locks, tell = dual_of(node), LockFile(node.folder / "journal.lock"), told(side)
    younger = Instances(locks, "younger", "one")
    leads = [dual.leads()]
    for known in (True, False):
        tell(younger, known)
        leads.append(dual.leads())
    locks.close()
    assert leads == [True, False, True]


async def test_a_mistake_in_what_the_driver_offers_is_shown_until_it_is_mended(node):
    """Also when the driver then says what it said before."""
    side = side_of(node)
    side.wanted = lambda: True
    for mistake in ("", "no idea", ""):
        node.driver.mistake = mistake
        side.found(CARDS)
        following = asyncio.ensure_future(side.follow())
        await asyncio.sleep(0)
        assert side.problem.endswith(mistake)
        assert bool(side.problem) == bool(mistake)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert side.offers((CARD, "id-0"))


async def test_what_was_read_back_is_a_pods_as_soon_as_the_driver_offers_it(node):
    """A device that was found late is not in the first offer."""
    await node.allocate("id-0")
    await node.journal.transact(lambda _: [lost(node)], durable=False)
    late = node.driver.stands_for.pop("id-0")
    side = side_of(node)
    jobs = [asyncio.ensure_future(job()) for job in side.jobs()]
    for offered in ({}, {"id-0": late}):
        node.driver.stands_for |= offered
        side.found(CARDS)
        await settled(node)
    assert node.has() == {"id-0": ["card-0"]}
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


@pytest.mark.parametrize(
    ("driver", "resource", "lasts"),
    [(Cards, CARD, False), (Cards, "", True), (Switches, CARD, True), (Switches, "", True)],
)
def test_what_a_pod_gets_must_be_on_disk_before_the_answer_if_hardware_was_changed(
    driver, resource, lasts
):
    record = Prepared("a", "", "id-0", (DeviceUse(NODE, "card-0"),), (), resource=resource)
    assert Entries(driver(), None, None).must_last(record) is lasts
