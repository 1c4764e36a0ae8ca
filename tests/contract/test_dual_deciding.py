"""A process finds out which mode its node wants: against an API server and a kubelet that change. Waits are short here."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dialling import dial
from doctor_node import answering

from pydra_core._api.access import Access, find
from pydra_core._api.client import KubeClient
from pydra_core._legacy import deciding, mode
from pydra_core._legacy.deciding import Deciding
from pydra_core._legacy.mode import Mode, Wish
from pydra_core._node import registration
from pydra_core._proto import pluginregistration_v1_pb2 as pb
from pydra_core._telemetry.metrics import Metrics
from pydra_testbed.api import ApiServer, write_kubeconfig
from pydra_testbed.clock import RealClock

NODE = "node-1"
LONG, SHORT = 600.0, 0.05
AUTO = Wish(dra=None, legacy=False)
CORE = {"name": "apps", "versions": [{"version": "v1", "groupVersion": "apps/v1"}]}
RESOURCE = {"name": "resource.k8s.io", "versions": [{"version": "v1"}, {"version": "v1beta2"}]}
BETA = {"name": "resource.k8s.io", "versions": [{"version": "v1beta1"}]}


@dataclass
class Site:
    """An API server that answers as told, and this test as the kubelet."""

    folder: Path
    patience: Callable[[float], None]
    """Sets for how long a kubelet is waited for."""
    groups: list = field(default_factory=lambda: [CORE, RESOURCE])
    away: bool = False
    version: str = "v1.34.1"
    asked: int = 0

    @property
    def socket(self):
        return self.folder / "card-reg.sock"

    async def apis(self, _request):
        self.asked += 1
        return 503 if self.away else {"kind": "APIGroupList", "groups": self.groups}

    async def node(self, _request):
        return {"status": {"nodeInfo": {"kubeletVersion": self.version}}}

    async def says(self, *, registered, error=""):
        """Say what a kubelet says after GetInfo, once the socket is there."""
        while not self.socket.exists():  # noqa: ASYNC110 (a kubelet watches the directory)
            await asyncio.sleep(0.01)
        async with dial(self.socket) as channel:
            await channel.unary_unary(
                "/pluginregistration.Registration/NotifyRegistrationStatus",
                request_serializer=pb.RegistrationStatus.SerializeToString,
                response_deserializer=pb.RegistrationStatusResponse.FromString,
            )(pb.RegistrationStatus(plugin_registered=registered, error=error), wait_for_ready=True)

    async def asks(self, times):
        """Wait until the API server was asked so many times more."""
        asked = self.asked
        while self.asked < asked + times:  # noqa: ASYNC110 (the server's own count)
            await asyncio.sleep(0.01)

    async def hidden(self):
        while self.socket.exists():  # noqa: ASYNC110 (a kubelet watches the directory)
            await asyncio.sleep(0.01)


@dataclass
class Process:
    """The deciding part of a driver's process."""

    deciding: Deciding
    modes: asyncio.Queue[Mode] = field(default_factory=asyncio.Queue)

    def __post_init__(self):
        self.modes.put_nowait(self.deciding.mode)
        self.deciding.on_change.append(self.modes.put_nowait)

    async def until(self, **wanted):
        """The next mode with these attributes, after the one that was waited for last."""
        while True:
            found = await self.modes.get()
            if all(getattr(found, name) == value for name, value in wanted.items()):
                return found


@pytest.fixture
def site(monkeypatch):
    def patience(seconds):
        monkeypatch.setattr(mode, "CONFIRM_WITHIN", seconds)

    patience(LONG)
    for name, seconds in (("_SOON", 0.01), ("_RARELY", 0.05), ("_ASK", 0.02)):
        monkeypatch.setattr(deciding, name, seconds)
    monkeypatch.setattr(registration, "_LOOK", 0.01)
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield Site(Path(folder), patience)


@contextlib.asynccontextmanager
async def process(site, url, wish=AUTO, access=None):
    client = KubeClient(access or Access(url, lambda: "", None))
    known = registration.Registration("card.acme.example", "/dra.sock", Metrics("card"))
    made = Process(Deciding(wish, client, NODE, known))
    known.on_change = made.deciding.registration_changed
    async with known.serve(site.socket):
        running = asyncio.create_task(made.deciding.run())
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.close()


@pytest.fixture
async def decided(site):
    """The process on a cluster that answers as the site says."""
    async with answering(apis=site.apis, node_1=site.node) as url, process(site, url) as made:
        yield made


async def test_a_kubelet_that_confirms_has_dra(site, decided):
    await site.says(registered=True)
    found = await decided.until(dra=True, legacy=False, decided=True)
    assert "confirmed" in found.why
    assert site.socket.exists()


async def test_a_kubelet_that_refuses_is_served_without_dra_until_another_one_wants_it(
    site, decided
):
    await site.says(registered=False, error="no handler registered for plugin type: DRAPlugin")
    found = await decided.until(dra=False, legacy=True, decided=True)
    assert "no handler registered" in found.why
    await site.hidden()
    await site.asks(3)
    assert decided.deciding.mode == found
    decided.deciding.kubelet_changed()
    await decided.until(dra=True, legacy=True, decided=False)
    assert not decided.deciding.dra_matters
    await site.says(registered=True)
    await decided.until(dra=True, legacy=False, decided=True)


async def test_a_new_kubelet_that_does_not_know_dra_either_changes_nothing(site, decided):
    site.patience(SHORT)
    await decided.until(dra=False, decided=True)
    decided.deciding.kubelet_changed()
    await decided.until(dra=True, decided=False)
    await decided.until(dra=False, legacy=True, decided=True)
    await site.hidden()


async def test_a_kubelet_of_another_version_is_asked_again(site, decided):
    site.patience(SHORT)
    await decided.until(dra=False, decided=True)
    for version in (site.version, "", "v1.36.2"):  # a node that tells none is no other
        await site.asks(2)  # the version is asked for after the groups
        site.version = version
    await decided.until(dra=True, legacy=True)
    site.patience(LONG)
    await site.says(registered=True)
    await decided.until(dra=True, legacy=False, decided=True)


async def test_a_kubelet_that_did_not_confirm_is_asked_again_after_a_while(
    site, decided, monkeypatch
):
    site.patience(SHORT)
    await decided.until(dra=False, legacy=True, decided=True)
    monkeypatch.setattr(deciding, "_RETRY", SHORT)
    await decided.until(dra=True, legacy=True, decided=False)


async def test_a_kubelet_that_takes_its_word_back_is_waited_for_and_then_believed(site, decided):
    await site.says(registered=True)
    await decided.until(decided=True)
    await site.says(registered=False, error="plugin validation failed")
    waiting = await decided.until(decided=False)
    assert (waiting.dra, waiting.legacy, decided.deciding.dra_matters) == (True, False, True)
    site.patience(SHORT)
    await decided.until(dra=False, legacy=True, decided=True)


async def test_a_server_that_does_not_answer_proves_nothing(site):
    site.away = True
    async with answering(apis=site.apis, node_1=site.node) as url, process(site, url) as made:
        await site.says(registered=False, error="no handler registered")
        site.patience(0.0)
        await site.asks(5)
        assert made.deciding.dra
        assert "has not told" in made.deciding.mode.why
        site.away = False
        await made.until(dra=False, legacy=True, decided=True)


@pytest.mark.parametrize("groups", [[CORE], [CORE, BETA]])
async def test_a_server_without_the_api_is_enough_to_know_and_is_asked_again(site, groups):
    site.groups = groups
    async with answering(apis=site.apis, node_1=site.node) as url, process(site, url) as made:
        await made.until(dra=False, legacy=True, decided=True)
        await site.hidden()
        site.groups = [CORE, RESOURCE]
        await site.says(registered=True)
        await made.until(dra=True, legacy=False, decided=True)


async def test_a_server_that_serves_the_api_no_longer_is_believed_after_a_while(
    site, decided, monkeypatch
):
    await site.says(registered=True)
    await decided.until(dra=True, legacy=False, decided=True)
    site.groups = [CORE]
    monkeypatch.setattr(deciding, "_RETRY", SHORT)
    await decided.until(dra=False, legacy=True, decided=True)
    await site.hidden()


async def test_a_server_that_is_lost_later_changes_nothing(site, decided):
    site.patience(SHORT)
    await decided.until(dra=False, decided=True)
    site.away = True
    found = await decided.until(decided=False)
    assert (found.dra, found.legacy) == (False, True)


@pytest.mark.parametrize("answer", [b"{", b"\xff", {"groups": 7}, 404])
async def test_what_is_no_list_of_groups_tells_nothing(site, answer):
    async def odd(_request):
        return answer

    async with answering(apis=odd) as url, process(site, url) as made:
        found = await made.until(decided=False)
        await site.says(registered=True)
        assert (found.dra, found.legacy) == (True, False)


async def test_the_groups_of_a_real_server_are_understood(site):
    server = ApiServer(RealClock())
    async with server.listen() as url:
        access = find(str(write_kubeconfig(site.folder / "kubeconfig", url)), {})
        async with process(site, url, access=access) as made:
            await site.says(registered=True)
            await made.until(dra=True, legacy=False, decided=True)
