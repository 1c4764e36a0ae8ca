"""UNPREP-01 to UNPREP-06: claims that are undone, known or not."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from pydra_testbed.conformance import claims
from pydra_testbed.conformance.asking import prepared, refused, unprepared, without_trace
from pydra_testbed.conformance.model import Case
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet import ClaimRef
from pydra_testbed.kubelet.rpc import RpcError

_NOBODY = ClaimRef("default", "claim-nobody", "11111111-2222-4333-8444-555555555555")
_GONE = "conformance-gone"


async def _one(stand: Stand) -> ClaimRef:
    return await stand.claim(stand.use(stand.devices(1)[0]))


async def _basic(stand: Stand) -> None:
    before = stand.cdi.files()
    device = stand.devices(1)[0]
    ref, following = [await stand.claim(stand.use(device)) for _ in range(2)]
    await prepared(stand, ref)
    await unprepared(stand, ref)
    without_trace(stand, before, "after an unprepare")
    await prepared(stand, following)


async def _unknown(stand: Stand) -> None:
    await unprepared(stand, _NOBODY)


async def _repeated(stand: Stand) -> None:
    ref = await _one(stand)
    await prepared(stand, ref)
    for _ in range(2):
        await unprepared(stand, ref)


async def _deleted(stand: Stand) -> None:
    before = stand.cdi.files()
    ref = await _one(stand)
    await prepared(stand, ref)
    await claims.remove(stand.server.local, ref)
    await unprepared(stand, ref)
    without_trace(stand, before, "after the unprepare of a deleted claim")


async def _after_failure(stand: Stand) -> None:
    before = stand.cdi.files()
    ref = await stand.claim()
    await refused(stand, ref, "the claim is not allocated")
    await unprepared(stand, ref)
    without_trace(stand, before, "after a failed prepare")


async def _gone(stand: Stand) -> None:
    before = stand.cdi.files()
    ref = await stand.claim(replace(stand.use(stand.devices(1)[0]), device=_GONE))
    with contextlib.suppress(RpcError):  # whatever it says: PREP-14 asks for an error
        await stand.driver.prepare(ref)
    await unprepared(stand, ref)
    without_trace(stand, before, f"after the unprepare of device {_GONE}")


CASES = (
    Case(
        "UNPREP-01", "undoes a claim: its spec file is gone, its device is free",
        "The kubelet calls once, when the last pod of the claim is gone.",
        "Remove the claim's spec file and its entry in the ledger.",
        _basic,
    ),
    Case(
        "UNPREP-02", "an unknown claim is a success",
        "The kubelet unprepares also what was never prepared; an error keeps the pod Terminating for ever.",
        "Answer success for a UID that is not known.",
        _unknown,
    ),
    Case(
        "UNPREP-03", "repeated, it is a success again",
        "The kubelet repeats the whole call when one driver or one claim of it failed.",
        "As for unknown claims.",
        _repeated,
    ),
    Case(
        "UNPREP-04", "works when the claim's object is deleted",
        "The claim may be gone from the API server before its pod is gone from the node.",
        "Do not GET the claim: namespace, name and UID are all there is.",
        _deleted,
    ),
    Case(
        "UNPREP-05", "after a failed prepare it is a success",
        "The kubelet knows the claim before it calls prepare, and unprepares it whatever came of that.",
        "Undo what a failed prepare began; with nothing begun, succeed.",
        _after_failure,
    ),
    Case(
        "UNPREP-06", "works when the device is gone",
        "A device that fell off the bus must not keep its pod Terminating.",
        "Treat missing hardware as undone.",
        _gone,
    ),
)  # fmt: skip
