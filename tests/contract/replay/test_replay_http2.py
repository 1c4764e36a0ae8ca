from __future__ import annotations

import asyncio

import http2_frames as h2
import pytest
import recorded_kubelet as recorded
from probe_world import PROBE, ProbeWorld

from pydra_core._proto import dra_health_v1_pb2 as health
from pydra_core._proto import dra_v1_pb2 as dra
from pydra_core._proto import pluginregistration_v1_pb2 as registration

BDP = bytes.fromhex("02041010090e0707")
ENDPOINT = "/var/lib/kubelet/plugins/tap.example.com/tap.sock"


@pytest.fixture
async def tap(world):
    """The node whose two sockets were tapped."""
    return ProbeWorld(
        world.root, world.server, world.kubeconfig, world.drivers, driver_name="tap.example.com"
    )


def by_write(chunks):
    """As recorded: each write by itself, once the server has answered what came before."""
    return chunks


def byte_by_byte(chunks):
    return [bytes([byte]) for chunk in chunks for byte in chunk]


def at_once(chunks):
    """The whole session in one write: the kubelet does not wait for the server's SETTINGS either."""
    return [b"".join(chunks)]


def unprepare_last(chunks):
    """One write up to the unprepare, which the kubelet never sends while the prepare is under way."""
    (last,) = (i for i, c in enumerate(chunks) if c[3:4] == bytes([h2.HEADERS]) and c[8] == 5)
    return [b"".join(chunks[:last]), b"".join(chunks[last:])]


class Client:
    """Writes recorded bytes to a Unix socket and reads what the server says."""

    def __init__(self, reader, writer, lasting):
        self.reader, self.writer, self.lasting = reader, writer, lasting
        self.said = h2.Conversation()
        self.asked = b""

    async def say(self, chunk):
        """Send bytes, then wait until the streams and PINGs that are complete by now are answered."""
        self.writer.write(chunk)
        await self.writer.drain()
        self.asked += chunk
        requests = self.asked[len(h2.PREFACE) :]
        sent = list(h2.frames(requests[: h2.whole(requests)]))
        calls = {f.stream for f in sent if f.kind == h2.DATA and f.flags & h2.END_STREAM}
        watches, calls = calls & self.lasting, calls - self.lasting
        pings = sum(f.kind == h2.PING and not f.flags & h2.ACK for f in sent)
        async with asyncio.timeout(20):
            while (
                not all(self.said.stream(n).ended for n in calls)
                or not all(self.said.stream(n).messages for n in watches)
                or len(self.said.acknowledged) < pings
            ):
                await self._hear()

    async def _hear(self):
        head = await self.reader.readexactly(9)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        (frame,) = h2.frames(head + payload)
        self.said.take(frame)


async def replayed(path, name, slicing, lasting=frozenset()):
    """Play the recorded client's bytes to the socket at `path`; returns what the server said.

    Streams in `lasting` are watches, which are answered by a first message and stay open.
    """
    reader, writer = await asyncio.open_unix_connection(str(path))
    client = Client(reader, writer, lasting)
    try:
        for chunk in slicing(recorded.client_chunks(name)):
            await client.say(chunk)
    finally:
        writer.close()
        await writer.wait_closed()
    assert client.said.refusals == []
    assert client.said.settings[:1] == [0]
    assert h2.ACK in client.said.settings
    assert set(client.said.acknowledged) == {BDP}
    return client.said


def recorded_streams(name):
    """What the recorded server said, read by the same reader."""
    conversation = h2.Conversation()
    for frame in h2.frames(recorded.server_bytes(name)):
        conversation.take(frame)
    return conversation.streams


def assert_call(said, wanted):
    """One answered unary call: the recorded headers, one message, and trailers that say OK."""
    assert said.headers[0][":status"] == "200"
    assert (
        said.headers[0]["content-type"] == wanted.headers[0]["content-type"] == "application/grpc"
    )
    assert said.trailers["grpc-status"] == wanted.trailers["grpc-status"] == "0"
    assert set(said.trailers) <= set(wanted.trailers)
    assert len(said.messages) == len(wanted.messages) == 1
    return said.messages[0], wanted.messages[0]


@pytest.mark.parametrize("slicing", [by_write, byte_by_byte, at_once])
async def test_the_registration_session_is_accepted_byte_for_byte(tap, slicing):
    """Its :authority is the percent-encoded path of the recorded socket, which strict servers refuse."""
    driver = await tap.start(KUBELET_SOCKET_PATH=ENDPOINT)
    said = await replayed(tap.registration_socket, "reg.sock.http2", slicing)
    wanted = recorded_streams("reg.sock.http2")
    assert said.streams.keys() == wanted.keys() == {1, 3}
    info, theirs = (
        registration.PluginInfo.FromString(m) for m in assert_call(said.streams[1], wanted[1])
    )
    assert (info.type, info.name, info.endpoint) == (theirs.type, theirs.name, theirs.endpoint)
    assert list(info.supported_versions) == list(theirs.supported_versions)[:2]
    assert assert_call(said.streams[3], wanted[3]) == (b"", b"")
    await driver.says("registered with the kubelet")


@pytest.mark.parametrize("slicing", [by_write, byte_by_byte, unprepare_last])
async def test_the_claims_session_is_accepted_byte_for_byte(tap, slicing):
    await tap.start(PROBE)
    (uid,) = dra.NodePrepareResourcesResponse.FromString(
        recorded_streams("dra.sock.http2")[3].messages[0]
    ).claims
    await tap.claim_as_recorded("tap", uid)
    said = await replayed(tap.dra_socket, "dra.sock.http2", slicing, lasting={1})
    wanted = recorded_streams("dra.sock.http2")
    assert said.streams.keys() == wanted.keys() == {1, 3, 5}
    watch = said.streams[1]
    assert (watch.headers[0][":status"], watch.ended) == ("200", wanted[1].ended) == ("200", False)
    health.NodeWatchResourcesResponse.FromString(watch.messages[0])
    prepared, theirs = (
        dra.NodePrepareResourcesResponse.FromString(m)
        for m in assert_call(said.streams[3], wanted[3])
    )
    assert_prepared(prepared.claims, theirs.claims, uid)
    unprepared, theirs = assert_call(said.streams[5], wanted[5])
    assert unprepared == theirs
    assert tap.spec_files() == {}


def assert_prepared(claims, theirs, uid):
    assert list(claims) == list(theirs) == [uid]
    (device,), (other,) = claims[uid].devices, theirs[uid].devices
    assert claims[uid].error == ""
    assert (device.request_names, device.pool_name) == (other.request_names, other.pool_name)
    assert {f.name for f, _ in device.ListFields()} == {f.name for f, _ in other.ListFields()}
    assert [i.partition("=")[0] for i in device.cdi_device_ids] == ["tap.example.com/claim"]


async def test_a_recorded_session_that_breaks_off_anywhere_leaves_the_server_serving(tap):
    driver = await tap.start(PROBE)
    session = b"".join(recorded.client_chunks("reg.sock.http2"))
    for length in range(0, len(session), 7):
        _, writer = await asyncio.open_unix_connection(str(tap.registration_socket))
        writer.write(session[:length])
        writer.close()
        await writer.wait_closed()
    assert (await driver.registered()).name == "tap.example.com"
    said = await replayed(tap.registration_socket, "reg.sock.http2", at_once)
    assert_call(said.streams[1], recorded_streams("reg.sock.http2")[1])
    assert "Traceback" not in driver.logged()
