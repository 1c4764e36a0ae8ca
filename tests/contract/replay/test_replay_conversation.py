from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
import recorded_kubelet as recorded
from dialling import dial
from probe_world import send

from pydra_core._proto import dra_v1_pb2, dra_v1beta1_pb2
from pydra_core._proto import pluginregistration_v1_pb2 as registration

MODULES = {
    "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin": dra_v1_pb2,
    "k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin": dra_v1beta1_pb2,
    "pluginregistration.Registration": registration,
}
PATIENCE = 30.0
"""Seconds for what the kubelet gives one: whether that is kept is asked below, of a machine that does nothing else."""
ENDPOINT = "/var/lib/kubelet/plugins/probe.example.com/dra.sock"


def messages(call):
    """The request and the answer classes of a call."""
    service = MODULES[call.service].DESCRIPTOR.services_by_name[call.service.rpartition(".")[2]]
    method = service.methods_by_name[call.method]
    return (getattr(MODULES[call.service], t.name) for t in (method.input_type, method.output_type))


def decoded(call):
    """The request sent, and the answer recorded."""
    request, answer = messages(call)
    return request.FromString(call.request), answer.FromString(call.response)


def shape(device):
    """Which fields of a prepared device are set, and the values that do not depend on the allocation."""
    kinds = {i.partition("=")[0] for i in device.cdi_device_ids}
    fields = {f.name for f, _ in device.ListFields()}
    return fields, list(device.request_names), device.pool_name, kinds, len(device.cdi_device_ids)


def assert_shape(call, given):
    """Our answer has the recorded shape; where the recorded plugin misbehaved, the claim holds an error."""
    request, wanted = decoded(call)
    asked = {c.uid for c in request.claims}
    assert set(given.claims) == asked
    for uid, answer in given.claims.items():
        expected = wanted.claims.get(uid) if call.code == "OK" else None
        if expected is None or expected.error:
            assert answer.error, call
            assert not call.method.startswith("NodePrepare") or not answer.devices
        else:
            assert answer.error == "", call
            if call.method.startswith("NodePrepare"):
                assert [shape(d) for d in answer.devices] == [shape(d) for d in expected.devices]
                assert not any(
                    d.HasField("share_id")
                    for d in answer.devices
                    if call.service.endswith("v1.DRAPlugin")
                )


class Replay:
    """Plays the kubelet's part of the record against our driver, restarting it where a claim changed hands."""

    def __init__(self, probe, stack):
        self.probe = probe
        self.stack = stack
        self.driver = None
        self.plugin = ""
        self.held = set()
        self.late = {}
        self.begun = []
        self.sent = Counter()
        self.restarts = Counter()

    async def play(self):
        for burst in recorded.bursts(recorded.calls()):
            await self._instance(burst[0])
            if recorded.is_long(burst[0]):
                await self._begin_long(burst[0])
            else:
                await asyncio.gather(*(self._call(call) for call in burst))
        assert not self.late
        for uid, driver in self.begun:
            assert driver.logged().count(f"held {uid}") == 1  # the retry joined the work in flight

    async def _instance(self, call):
        """Be the plugin instance that got this call; a claim prepared by one outlives it."""
        if call.plugin == self.plugin:
            return
        if self.driver is None or self.held:
            kill = self.plugin not in recorded.stopped_in_order()
            if self.driver is not None:
                await self.driver.stop(kill=kill)
                self.restarts["killed" if kill else "stopped"] += 1
            self.driver = await self.probe.start(KUBELET_SOCKET_PATH=ENDPOINT)
            self.sockets = {
                path: await self.stack.enter_async_context(dial(path))
                for path in (self.probe.registration_socket, self.probe.dra_socket)
            }
        self.plugin = call.plugin

    async def _call(self, call):
        """Send one call as the kubelet did, and compare the answers."""
        request, wanted = decoded(call)
        if call.service == "pluginregistration.Registration":
            answer = type(wanted).FromString(await self._send(call, self.probe.registration_socket))
            assert_registration(call, answer, wanted)
            return
        await self._make_claims(call, request)
        order = self._misbehaviour(call, wanted)
        for uid in call.uids if order else ():
            self.probe.order(order, uid)
        answer = type(wanted).FromString(await self._send(call, self.probe.dra_socket))
        for uid in call.uids if order else ():
            self.probe.order(order, uid, done=True)
        assert_shape(call, answer)
        self._remember(call, answer)

    async def _send(self, call, path):
        sending = asyncio.ensure_future(
            send(self.sockets[path], call.path, call.request, max(call.deadline, PATIENCE))
        )
        self.sent[call.method] += 1
        for uid in set(call.uids) & self.late.keys():
            await self._end_long(uid)
        return await sending

    async def _begin_long(self, call):
        """A prepare that took seconds: it is held until the kubelet's next call for that claim is on its way."""
        request, _ = decoded(call)
        await self._make_claims(call, request)
        (uid,) = call.uids
        self.probe.order("hold", uid)
        path = self.sockets[self.probe.dra_socket]
        sending = asyncio.ensure_future(send(path, call.path, call.request, call.deadline))
        self.sent[call.method] += 1
        await self.driver.says(f"held {uid}")
        if call.overran:  # the kubelet gave up, and its cancellation reaches the driver
            sending.cancel()
        self.late[uid] = (call, sending)
        self.begun.append((uid, self.driver))

    async def _end_long(self, uid):
        call, sending = self.late.pop(uid)
        self.probe.order("hold", uid, done=True)
        if call.overran:
            with pytest.raises(asyncio.CancelledError):
                await sending
        else:
            _, wanted = decoded(call)
            assert_shape(call, type(wanted).FromString(await sending))

    async def _make_claims(self, call, request):
        if call.method.startswith("NodePrepare"):
            for claim in request.claims:
                await self.probe.claim_as_recorded(claim.name, claim.uid)

    def _misbehaviour(self, call, wanted):
        if call.code != "OK":
            return "crash"
        if any(wanted.claims[u].error for u in wanted.claims):
            return "fail"
        return "" if wanted.claims else "skip"

    def _remember(self, call, answer):
        good = {uid for uid, a in answer.claims.items() if not a.error}
        self.held = self.held | good if call.method.startswith("NodePrepare") else self.held - good


def assert_registration(call, given, wanted):
    if call.method != "GetInfo":
        assert given == wanted  # an empty message: the kubelet only looks at the status
        return
    fields = {f.name for f, _ in wanted.ListFields()}
    assert {f.name for f, _ in given.ListFields()} == fields
    assert (given.type, given.name, given.endpoint) == ("DRAPlugin", "probe.example.com", ENDPOINT)
    assert list(given.supported_versions) == ["v1.DRAPlugin", "v1beta1.DRAPlugin"]


@pytest.mark.timeout(300)  # ten starts of a driver, on a machine that may be busy
async def test_the_recorded_conversations_get_answers_of_the_recorded_shape(probe):
    async with AsyncExitStack() as stack:
        replay = Replay(probe, stack)
        await replay.play()
    assert replay.sent == recorded.by_method(recorded.calls())
    assert replay.sent.total() == 165
    assert len(recorded.calls()) == 165
    assert replay.restarts == {"stopped": 7, "killed": 2}
    assert len(replay.begun) == 2
    assert replay.held == set()
    assert probe.spec_files() == {}
    assert "Traceback" not in replay.driver.logged()


@pytest.mark.parametrize(
    "waiting", ["await asyncio.sleep(3600)", "await asyncio.to_thread(spin)", "spin()"]
)
async def test_registration_keeps_its_deadlines_while_discover_is_slow(probe, waiting):
    """GetInfo has one second in the record: while a vendor library loads in a thread, or blocks the event loop.

    A claim then waits for the loop, and has 45 seconds.
    """
    driver = await probe.start(SLOW.replace("WAITING", waiting))
    await driver.says("discovering")
    first = {c.method: c for c in reversed(recorded.calls()) if c.plugin.startswith("probe.")}
    async with dial(probe.registration_socket) as channel:
        for method in ("GetInfo", "NotifyRegistrationStatus"):
            call = first[method]
            answer = await send(channel, call.path, call.request, call.deadline)
            assert bool(answer) == (method == "GetInfo")
    claim = first["NodePrepareResources"]
    request, wanted = decoded(claim)
    await probe.claim_as_recorded(request.claims[0].name, request.claims[0].uid)
    assert await probe.slices() == {}
    async with dial(probe.dra_socket) as channel:
        sending = asyncio.ensure_future(send(channel, claim.path, claim.request, claim.deadline))
        if waiting == "spin()":
            (probe.root / "loaded").touch()
        assert_shape(claim, type(wanted).FromString(await sending))
    (probe.root / "loaded").touch()


SLOW = """
import asyncio
import sys
import threading
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Driver, Inventory, PreparedDevice, main


def spin():
    loaded = Path(__file__).with_name("loaded")
    while not loaded.exists():
        threading.Event().wait(0.05)  # blocks its thread as a library's call does, without the interpreter's lock


class ProbeDriver(Driver):
    name = "DRIVER_NAME"

    async def discover(self) -> Inventory:
        print("discovering", file=sys.stderr, flush=True)
        WAITING
        return Inventory()

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=["PROBE=1"])) for a in claim.allocations]


main(ProbeDriver)
"""
