"""PREP-15, PREP-16, PREP-18, UNPREP-08 and UNPREP-09: an API server that is slow or gone."""

from __future__ import annotations

import asyncio
import contextlib

from pydra_testbed.conformance.asking import held, prepared, refused, unprepared, without_trace
from pydra_testbed.conformance.model import Case, NotMetError
from pydra_testbed.conformance.running import Answers
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet import ClaimRef
from pydra_testbed.kubelet.rpc import RpcError

_NOBODY = ClaimRef("default", "claim-nobody", "11111111-2222-4333-8444-555555555555")


async def _slow(stand: Stand) -> None:
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    async with held(stand, ref, stand.limits.deadline) as preparing:
        await asyncio.wait([preparing])  # the claim's error, or DeadlineExceeded as a kubelet gets
        await asyncio.sleep(stand.limits.moment)  # the driver shall have heard of it, too
    await prepared(stand, ref)


async def _parallel(stand: Stand) -> None:
    devices = stand.devices(2)
    slow, quick = [await stand.claim(stand.use(device)) for device in devices]
    async with held(stand, slow):
        await prepared(stand, quick, seconds=stand.limits.notice)
    await prepared(stand, slow)


async def _api_down(stand: Stand) -> None:
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    with stand.server.faults.unreachable():
        seconds = stand.limits.deadline
        await refused(stand, ref, "the claim cannot be read without the API server", seconds)
    await prepared(stand, ref)


async def _offline(stand: Stand) -> None:
    before = stand.cdi.files()
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    await prepared(stand, ref)
    with stand.server.faults.unreachable():
        await unprepared(stand, ref)
    without_trace(stand, before, "after an unprepare")


_CERTAINLY = 10
"""Calls after which an earlier one has arrived, although a server may take up two in any order."""


async def _ordered(stand: Stand) -> None:
    before = stand.cdi.files()
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    async with held(stand, ref) as preparing:
        undoing = asyncio.get_running_loop().create_task(stand.driver.unprepare(ref))
        with contextlib.suppress(
            RpcError
        ):  # answered again and again: then the one above has arrived, too
            for _ in range(_CERTAINLY):
                await stand.driver.unprepare(_NOBODY, seconds=stand.limits.notice)
        stand.server.faults.clear()
        await asyncio.gather(preparing, undoing, return_exceptions=True)
    _undone(ref, undoing)
    without_trace(stand, before, "after a prepare and the unprepare behind it")


def _undone(ref: ClaimRef, undoing: asyncio.Task[Answers]) -> None:
    try:
        answer = undoing.result().get(ref.uid)
    except RpcError as err:
        raise NotMetError("an unprepare that waits for the prepare before it", str(err)) from err
    if answer is None or answer.error:
        raise NotMetError(
            "an unprepare that waits for the prepare before it",
            answer.error if answer else "nothing",
        )


PREPARE = (
    Case(
        "PREP-15", "a prepare that outlives its deadline is taken up by the retry",
        "The kubelet gives a call up after 45 s and comes back a minute later; its cancellation reaches the handler.",
        "Shield the work from the call's cancellation, by claim, and let a retry join what is under way.",
        _slow,
    ),
    Case(
        "PREP-16", "a slow claim does not hold up another",
        "Each pod has its own call; a node's pods start together.",
        "Lock by claim and by device, not over all calls (the Go helper: Serialize(false)).",
        _parallel,
    ),
    Case(
        "PREP-18", "without the API server it answers with an error, and recovers",
        "The claim has to be read; the kubelet asks again.",
        "Answer the claim's error within the deadline; keep no failed connection.",
        _api_down,
    ),
)  # fmt: skip
UNPREPARE = (
    Case(
        "UNPREP-08", "needs no API server",
        "Pods are removed from a node that has lost the API server, too; the claim may be gone.",
        "Unprepare from what prepare wrote to disk.",
        _offline,
    ),
    Case(
        "UNPREP-09", "an unprepare waits for the prepare in flight",
        "The kubelet gives a prepare up and unprepares while the driver still works on it.",
        "One lock per claim, held by both.",
        _ordered,
    ),
)  # fmt: skip
