"""A kubelet that does not ask, forgets or refuses: the driver shows its socket anew. Waits are made short here."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from pydra_core._node import registration
from pydra_core._proto import pluginregistration_v1_pb2 as pb
from pydra_core._telemetry.metrics import Metrics

NEVER = 3600.0


@pytest.fixture
def path():
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield Path(folder) / "card-reg.sock"


@pytest.fixture
def waits(monkeypatch):
    """Sets how long silence and doubt are borne."""

    def short(*, silence=NEVER, doubt=NEVER, settled=0.0):
        monkeypatch.setattr(registration, "_LOOK", 0.01)
        monkeypatch.setattr(registration, "_SILENCE", silence)
        monkeypatch.setattr(registration, "_DOUBT", doubt)
        monkeypatch.setattr(registration, "_SETTLED", settled)

    return short


@asynccontextmanager
async def served(path):
    made = registration.Registration("card.acme.example", "/dra.sock", Metrics("card.acme.example"))
    async with made.serve(path):
        yield made


async def tell(path, *, registered, error=""):
    """Say what a kubelet says after GetInfo."""
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        await channel.unary_unary(
            "/pluginregistration.Registration/NotifyRegistrationStatus",
            request_serializer=pb.RegistrationStatus.SerializeToString,
            response_deserializer=pb.RegistrationStatusResponse.FromString,
        )(pb.RegistrationStatus(plugin_registered=registered, error=error), wait_for_ready=True)


def identity(path):
    return (path.stat().st_ino, path.stat().st_ctime_ns) if path.exists() else None


async def shown_anew(path, before):
    while identity(path) in (None, before):  # noqa: ASYNC110 (a kubelet watches the directory)
        await asyncio.sleep(0.01)


async def test_a_kubelet_that_never_asks_is_shown_the_socket_again_and_again(path, waits, caplog):
    waits(silence=0.05)
    async with served(path):
        for _ in range(2):
            await shown_anew(path, identity(path))
    assert "does not ask" in caplog.records[0].why


async def test_a_kubelet_that_wiped_the_slices_and_does_not_ask_is_shown_the_socket(
    path, waits, caplog
):
    waits(doubt=0.05)
    async with served(path) as made:
        await tell(path, registered=True)
        await made.wait()
        before = identity(path)
        made.doubt()
        await shown_anew(path, before)
    assert [r.why for r in caplog.records if hasattr(r, "why")] == [
        "the kubelet wiped the slices and does not ask"
    ]


async def test_a_kubelet_that_starts_asks_before_it_wipes_and_knows_the_driver_all_the_same(
    path, waits
):
    """Kubelet 1.36 does both at once; to be shown anew would be to be unknown for a second or two."""
    waits(doubt=0.0, settled=NEVER)
    async with served(path) as made:
        await tell(path, registered=True)
        await made.wait()
        before = identity(path)
        made.doubt()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await shown_anew(path, before)


async def test_a_refusal_ends_a_registration_until_the_kubelet_is_content_again(path, waits):
    waits()
    async with served(path) as made:
        changes: asyncio.Queue[bool] = asyncio.Queue()
        made.on_change = changes.put_nowait
        await tell(path, registered=True)
        assert (await changes.get(), made.refusal) == (True, "")
        await made.wait()
        await tell(path, registered=False, error="name is taken")
        assert (await changes.get(), made.registered) == (False, False)
        await tell(path, registered=True)
        assert (await changes.get(), made.refusal) == (True, "")
        await made.wait()


async def test_after_a_refusal_a_silent_kubelet_is_shown_the_socket(path, waits):
    waits(silence=0.2)
    async with served(path) as made:
        await tell(path, registered=True)
        await made.wait()
        before = identity(path)
        await tell(path, registered=False, error="no")
        await shown_anew(path, before)


async def gone(path):
    while path.exists():  # noqa: ASYNC110 (a kubelet watches the directory)
        await asyncio.sleep(0.01)


async def test_a_socket_that_is_not_to_be_seen_is_taken_away_and_the_registration_with_it(
    path, waits
):
    waits()
    async with served(path) as made:
        changes: asyncio.Queue[bool] = asyncio.Queue()
        made.on_change = changes.put_nowait
        await tell(path, registered=True)
        assert await changes.get()
        made.offer(offered=False)
        await gone(path)
        assert (await changes.get(), made.registered) == (False, False)
        made.offer(offered=True)
        await shown_anew(path, None)
        assert made.refusal == "the kubelet has not asked yet"
        await tell(path, registered=True)
        assert (await changes.get(), made.refusal) == (True, "")


async def test_a_driver_that_is_not_to_be_seen_from_the_start_shows_no_socket(path, waits):
    waits()
    made = registration.Registration("card.acme.example", "/dra.sock", Metrics("card.acme.example"))
    made.offer(offered=False)
    async with made.serve(path):
        assert not path.exists()
        made.offer(offered=True)
        await shown_anew(path, None)
    assert not path.exists()
