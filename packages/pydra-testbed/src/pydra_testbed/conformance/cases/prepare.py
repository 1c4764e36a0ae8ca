"""PREP-01 to PREP-06, PREP-12 to PREP-14, PREP-17, PREP-19 and PREP-20: claims prepared, repeated, refused."""

from __future__ import annotations

from dataclasses import replace

from pydra_testbed.conformance.asking import prepared, refused, same, unprepared
from pydra_testbed.conformance.claims import Use
from pydra_testbed.conformance.model import Case, NotMetError, UnsuitedError
from pydra_testbed.conformance.running import V1BETA1
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet import ClaimRef
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.kubelet.services import ClaimAnswer

_NOBODY = ClaimRef("default", "claim-nobody", "11111111-2222-4333-8444-555555555555")
_OTHER_UID = "99999999-2222-4333-8444-555555555555"
_GONE = "conformance-gone"
_FOREIGN = "other.conformance.example"


async def _one(stand: Stand) -> ClaimRef:
    return await stand.claim(stand.use(stand.devices(1)[0]))


async def _basic(stand: Stand) -> None:
    device = stand.devices(1)[0]
    answer = await prepared(stand, await stand.claim(stand.use(device)))
    _holds(answer, device.pool, device.name)
    stand.cdi.check(answer)


def _holds(answer: ClaimAnswer, pool: str, name: str) -> None:
    found = [(d.pool, d.device, d.requests) for d in answer.devices]
    if found != [(pool, name, ("r0",))]:
        raise NotMetError(f"the allocated device {name} of pool {pool} for request r0", str(found))


async def _repeat(stand: Stand) -> None:
    ref = await _one(stand)
    first, files = await prepared(stand, ref), stand.cdi.files()
    same("when asked again", first, await prepared(stand, ref))
    if stand.cdi.files() != files:
        raise NotMetError("the same spec files after a repeated prepare", "they changed")


async def _own_restart(stand: Stand) -> None:
    ref = await _one(stand)
    first = await prepared(stand, ref)
    for kill in (False, True):
        process = stand.driver.process
        await (process.kill() if kill else process.stop(stand.limits.stop))
        await stand.start()
        again = await prepared(stand, ref)
        same("after being killed" if kill else "after a restart", first, again)
        stand.cdi.check(again)


async def _reboot(stand: Stand) -> None:
    ref = await _one(stand)
    first = await prepared(stand, ref)
    await stand.driver.process.kill()
    stand.cdi.empty()
    stand.boot_id.write_text("22222222-2222-4222-8222-222222222222\n")
    await stand.start()
    again = await prepared(stand, ref)
    same("after a reboot", first, again)
    stand.cdi.check(again)


async def _batch(stand: Stand) -> None:
    good, unallocated = await _one(stand), await stand.claim()
    asked = (unallocated, good, _NOBODY)
    try:
        answers = await stand.driver.prepare(*asked)
    except RpcError as err:
        raise NotMetError(
            "an error for the bad claims alone", f"the whole call fails: {err}"
        ) from err
    if set(answers) != {ref.uid for ref in asked}:
        left = [ref.name for ref in asked if ref.uid not in answers]
        raise NotMetError(
            "each asked claim in the answer and no other",
            f"without {', '.join(left)}" if left else f"more: {sorted(answers)}",
        )
    if answers[good.uid].error:
        raise NotMetError("the good claim prepared", answers[good.uid].error)
    for bad in (unallocated, _NOBODY):
        if not answers[bad.uid].error:
            raise NotMetError(f"an error for {bad.name}, which is not allocated", "success")


async def _foreign(stand: Stand) -> None:
    device = stand.devices(1)[0]
    theirs = Use(_FOREIGN, "their-pool", "their-device", "theirs")
    answer = await prepared(stand, await stand.claim(theirs, stand.use(device)))
    _holds(answer, device.pool, device.name)


async def _overlap(stand: Stand) -> None:
    whole = [device for device in stand.offer.together() if not device.shareable]
    if not whole:
        raise UnsuitedError("every published device can be shared")
    first, second = [await stand.claim(stand.use(whole[0])) for _ in range(2)]
    await prepared(stand, first)
    await refused(stand, second, f"{whole[0].name} is still prepared for {first.name}")
    await stand.driver.process.kill()
    await stand.start()
    await refused(
        stand, second, f"{whole[0].name} is prepared for {first.name} since before a restart"
    )
    await unprepared(stand, first)
    await prepared(stand, second)


async def _replaced(stand: Stand) -> None:
    ref = await _one(stand)
    await refused(stand, replace(ref, uid=_OTHER_UID), "the name belongs to another claim now")


async def _vanished(stand: Stand) -> None:
    device = stand.devices(1)[0]
    gone = replace(stand.use(device), device=_GONE)
    ref = await stand.claim(gone)
    text = await refused(stand, ref, f"device {_GONE} is not there")
    if _GONE not in text:
        raise NotMetError(f"an error that names {_GONE}", text)


async def _unused(stand: Stand) -> None:
    """No pod of the API server uses the claim, and none ever did."""
    device = stand.devices(1)[0]
    ref = await stand.claim(stand.use(device))
    body = await stand.server.local.get("resourceclaims", ref.name, ref.namespace)
    body["status"].pop("reservedFor", None)
    await stand.server.local.update("resourceclaims", body, "status")
    _holds(await prepared(stand, ref), device.pool, device.name)


async def _older_kubelet(stand: Stand) -> None:
    if V1BETA1 not in stand.driver.versions:
        raise UnsuitedError(f"it does not list {V1BETA1}: kubelets before 1.34 refuse it")
    ref = await _one(stand)
    new = (await prepared(stand, ref)).devices
    try:
        old = await stand.driver.prepare(ref, version=V1BETA1)
        gone = await stand.driver.unprepare(ref, version=V1BETA1)
    except RpcError as err:
        raise NotMetError(f"answers by {V1BETA1}, which it lists", str(err)) from err
    expected = tuple(replace(device, share_id="") for device in new)
    if old[ref.uid].devices != expected:
        raise NotMetError(f"the devices of v1: {expected}", str(old[ref.uid]))
    if gone[ref.uid].error:
        raise NotMetError(f"unprepare by {V1BETA1}", gone[ref.uid].error)


async def _resolvable(stand: Stand) -> None:
    refs = [await stand.claim(stand.use(d)) for d in stand.offer.together()[:4]]
    for ref in refs:
        stand.cdi.check(await prepared(stand, ref))
    for ref in refs:
        stand.cdi.check(await prepared(stand, ref))


CASES = (
    Case(
        "PREP-01", "prepares the allocated device",
        "Pool and device of the answer must be those of the allocation, request names those of the claim"
        " (dra.v1 Device); the kubelet passes the CDI device IDs on to the runtime.",
        "Answer from status.allocation.devices.results, never with the first device that is free.",
        _basic,
    ),
    Case(
        "PREP-02", "gives the same answer when asked again",
        "The kubelet asks for every claim of a pod again after any trouble, also of another driver.",
        "Keep what was answered, by claim UID, and repeat it.",
        _repeat,
    ),
    Case(
        "PREP-03", "gives the same answer after its own restart",
        "A kubelet asks again for claims of running pods; containers run with the first answer.",
        "Write what was answered to disk before answering, below the kubelet's plugins directory.",
        _own_restart,
    ),
    Case(
        "PREP-04", "gives the same answer after a reboot, with its spec files back",
        "/var/run/cdi is empty after a reboot, the kubelet's claims are not.",
        "Write missing spec files again at the start and on a repeated prepare.",
        _reboot,
    ),
    Case(
        "PREP-05", "one bad claim of a call does not hurt the others",
        "A failed call, a missing UID or one too many fails all pods' claims of the call, and loses the reason.",
        "Catch errors claim by claim and put them into that claim's `error`; answer every UID that was asked.",
        _batch,
    ),
    Case(
        "PREP-06", "ignores results of other drivers",
        "An allocation may hold devices of several drivers; each gets the whole claim.",
        "Skip results whose `driver` is another one.",
        _foreign,
    ),
    Case(
        "PREP-12", "refuses a device that is prepared for another claim, after a restart too, until it is free",
        "After a forced deletion the next claim can arrive before the unprepare of the last.",
        "Keep a ledger of devices by claim, on disk and under one lock, and refuse with an error that may be retried.",
        _overlap,
    ),
    Case(
        "PREP-13", "refuses a claim that was replaced by another of its name",
        "The kubelet names the claim's UID; what the API server has under the name may be another claim.",
        "Compare metadata.uid with the asked UID.",
        _replaced,
    ),
    Case(
        "PREP-14", "refuses a device that is not there, and names it",
        "A device may vanish between allocation and prepare; a pod must not start without it.",
        "Look the allocated device up in what is there now; put its name into the error.",
        _vanished,
    ),
    Case(
        "PREP-17", "prepares a claim that no container uses",
        "The kubelet prepares every claim of a pod, used or not (e2e_node).",
        "Do not look at pods or at status.reservedFor.",
        _unused,
    ),
    Case(
        "PREP-19", f"serves kubelets that know {V1BETA1} alone",
        "Kubernetes 1.32 and 1.33 speak v1beta1, which has no share_id.",
        "Register the same handlers for both services.",
        _older_kubelet,
    ),
    Case(
        "PREP-20", "its CDI device IDs can be resolved at the moment of the answer",
        "The runtime reads the spec files right after the answer.",
        "Rename a complete, valid spec file into the CDI directory before answering, under a name of its own.",
        _resolvable,
    ),
)  # fmt: skip
