"""One resource's socket and a kubelet in one process: what counts as registered, and which way is taken. Waits are short here."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from legacy_world import CARD, Kubelet

from pydra_core import Device, Driver, Inventory
from pydra_core._legacy import registering
from pydra_core._legacy.answers import names
from pydra_core._legacy.listing import Listing
from pydra_core._legacy.marks import Silicon
from pydra_core._legacy.registering import Endpoint
from pydra_core._legacy.server import Service
from pydra_core._legacy.units import Offer, Offering
from pydra_core._node import registration
from pydra_core._node.sockets import identity, locate_resource
from pydra_core._proto import pluginregistration_v1_pb2 as reg
from pydra_core._state.ledger import Ledger
from pydra_core._telemetry.metrics import Metrics
from pydra_core.resources import Resource, ResourceDevice
from pydra_core.settings import load

LONG = 600.0
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED


class Cards(Driver):
    name = "card.acme.example"

    async def discover(self):
        return Inventory(Device("card-0"))

    async def prepare(self, claim):
        raise AssertionError(f"no pod gets {claim} here")


@dataclass
class Place:
    """The kubelet's folders, a kubelet that starts when the test says so, and one endpoint of a driver."""

    root: Path
    kubelet: Kubelet
    endpoint: Endpoint
    told: list[str] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self):
        self.endpoint.on_change = self._changed

    def _changed(self):
        self.told.append(self.endpoint.problem)

    @property
    def socket(self):
        return next(self.kubelet.folder.glob("card*.sock"))

    def shown(self):
        """The registration socket in plugins_registry, if it is there."""
        return next((self.root / "plugins_registry").glob("*-reg.sock"), None)

    async def until(self, condition):
        while not condition():  # noqa: ASYNC110 (files and the endpoint's own state)
            await asyncio.sleep(0.005)
        return condition()


@pytest.fixture
def quick(monkeypatch):
    """Waits that are not what a test is about are short, those it is about are `LONG` until it says otherwise."""
    for name, seconds in {
        "_LOOK": 0.01,
        "_ABSENT": LONG,
        "_FIRST_PAUSE": LONG,
        "_DIAL": LONG,
        "_UNREAD": LONG,
        "_REGISTRY_PAUSE": LONG,
    }.items():
        monkeypatch.setattr(registering, name, seconds)
    monkeypatch.setattr(registration, "_LOOK", 0.01)
    return lambda name, seconds=0.02: monkeypatch.setattr(registering, name, seconds)


@pytest.fixture
def made():
    """Makes the place; `quick` has to be asked first."""

    @contextlib.asynccontextmanager
    async def make():
        with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
            root = Path(folder)
            settings = load(None, {"NODE_NAME": "node-1", "KUBELET_ROOT": folder}, {})
            sockets = locate_resource(settings, Cards.name, CARD)
            listing = Listing(Ledger, frozenset, Silicon())
            cards = Inventory(Device("card-0"))
            resource = Resource(CARD, (ResourceDevice(id="card-0", devices=("card-0",)),))
            listing.take(Offering(Cards.name, "node-1").make([resource], cards, Offer()))
            service = Service(Cards(), CARD, None, listing, Metrics(Cards.name), names)
            place = Place(root, Kubelet(sockets.kubelet.parent), Endpoint(CARD, sockets, service))
            place.kubelet.folder.mkdir()
            running = asyncio.create_task(place.endpoint.run(lambda: 0.0))
            try:
                yield place
            finally:
                if place.kubelet.server:
                    await place.kubelet.stop()
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                listing.close()

    return make


async def test_a_registration_whose_socket_is_removed_meanwhile_is_made_anew_without_a_pause(
    quick, made
):
    """As a kubelet does that starts: it would dial for ten seconds what it has removed itself."""
    del quick
    async with made() as place:
        dialled = []

        async def register():
            dialled.append(place.socket)
            if len(dialled) == 1:
                place.socket.unlink()
                await asyncio.Event().wait()

        place.kubelet.before_dialling = register
        await place.kubelet.start()
        await place.kubelet.plugin(CARD)
        assert len(dialled) == 2
        await place.until(lambda: place.endpoint.registered)
        assert not [text for text in place.told if "refused" in text]


async def test_a_registration_that_is_answered_for_a_socket_that_is_gone_does_not_count(
    quick, made
):
    del quick
    async with made() as place:
        asked = []

        async def register():
            asked.append(place.socket)
            place.kubelet.dials = len(asked) > 1
            if not place.kubelet.dials:
                place.socket.unlink()

        place.kubelet.before_dialling = register
        await place.kubelet.start()
        await place.kubelet.plugin(CARD)
        assert len(asked) == 2


async def test_a_socket_that_is_removed_later_is_told_of_anew_without_a_pause(quick, made):
    del quick
    async with made() as place:
        await place.kubelet.start()
        await place.kubelet.plugin(CARD)
        await place.until(lambda: place.endpoint.registered)
        place.told.clear()
        place.socket.unlink()
        await place.kubelet.plugin(CARD, after=1)
        await place.until(lambda: place.endpoint.registered)
        assert place.told == ["our socket was removed", ""]


async def test_a_kubelet_that_takes_it_up_and_does_not_read_its_list_is_told_again(quick, made):
    quick("_UNREAD")
    quick("_FIRST_PAUSE")
    async with made() as place:
        place.kubelet.reads = False
        await place.kubelet.start()
        await place.until(lambda: "does not read its list" in place.endpoint.problem)
        assert len(place.kubelet.registered) == 1
        place.kubelet.reads = True
        await place.kubelet.plugin(CARD)
        await place.until(lambda: place.endpoint.registered)


async def test_a_kubelet_that_reads_is_told_once(quick, made, monkeypatch):
    quick("_UNREAD", 0.0)
    looks = []

    def looked(path):
        looks.append(path)
        return identity(path)

    async with made() as place:
        await place.kubelet.start()
        await place.kubelet.plugin(CARD)
        await place.until(lambda: place.endpoint.registered)
        place.told.clear()
        monkeypatch.setattr(registering, "identity", looked)
        await place.until(lambda: len(looks) > 20)
        assert place.told == []


async def test_a_kubelet_that_was_not_there_for_somebody_else_in_this_process_is_called_at_once(
    quick, made
):
    """gRPC lets calls to one address share a connection, and with it the pause after one that failed."""
    del quick
    async with made() as place:
        socket = place.kubelet.folder / "kubelet.sock"
        async with grpc.aio.insecure_channel(f"unix:{socket}") as other:
            with pytest.raises(grpc.aio.AioRpcError, match="failed to connect"):
                await other.unary_unary("/v1beta1.Registration/Register")(b"")
            await place.kubelet.start()
            await place.kubelet.plugin(CARD)
        assert not [text for text in place.told if "refused" in text]


async def test_a_new_kubelet_is_not_made_to_wait_for_what_another_refused(quick, made):
    del quick
    async with made() as place:
        place.kubelet.refuses = 1
        await place.kubelet.start()
        await place.until(lambda: "not now" in place.endpoint.problem)
        await place.kubelet.stop()
        await place.kubelet.start()
        await place.kubelet.plugin(CARD)


async def test_without_any_socket_of_the_kubelet_it_is_shown_in_plugins_registry(quick, made):
    quick("_ABSENT")
    async with made() as place:
        await place.until(place.shown)
        assert not list(place.kubelet.folder.iterdir())


@pytest.mark.parametrize("code", [UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED])
async def test_a_kubelet_that_does_not_take_it_directly_is_shown_it_and_the_next_is_asked_directly(
    quick, made, code
):
    del quick
    async with made() as place:
        place.kubelet.refuses, place.kubelet.code = 1, code
        await place.kubelet.start()
        await place.until(place.shown)
        assert not list(place.kubelet.folder.glob("card*.sock"))
        await place.kubelet.stop()
        await place.kubelet.start()
        await place.kubelet.plugin(CARD)
        await place.until(lambda: not place.shown())


async def test_one_shown_in_plugins_registry_whose_list_is_not_read_is_shown_again(quick, made):
    quick("_ABSENT")
    quick("_UNREAD")
    quick("_REGISTRY_PAUSE")
    async with made() as place:
        path = await place.until(place.shown)
        before = path.lstat().st_ctime_ns
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            await channel.unary_unary(
                "/pluginregistration.Registration/NotifyRegistrationStatus",
                request_serializer=reg.RegistrationStatus.SerializeToString,
                response_deserializer=reg.RegistrationStatusResponse.FromString,
            )(reg.RegistrationStatus(plugin_registered=True), wait_for_ready=True)
        await place.until(lambda: path.exists() and path.lstat().st_ctime_ns != before)
