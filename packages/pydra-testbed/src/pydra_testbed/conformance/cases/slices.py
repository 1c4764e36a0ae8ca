"""SLICE: what the driver publishes is whole, stays, and costs no writes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from pydra_testbed.conformance.access import NODE
from pydra_testbed.conformance.asking import prepared
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.offer import is_complete
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.objects import KubeObject, ObjectRef, Selection, uid_of

_OWN = Conditions(own=True)
_UPGRADED = Conditions(own=True, starts=False)
_LOOK = 0.02
_OTHER = "others.conformance.example"
_RESOURCE = "resourceslices"


async def _slices(stand: Stand) -> list[KubeObject]:
    selection = Selection(field_selector=f"spec.driver={stand.driver.name}")
    listed = await stand.server.local.list(_RESOURCE, selection)
    return sorted(listed.items, key=lambda body: str(body["metadata"]["name"]))


def _devices(slices: Iterable[KubeObject]) -> list[str]:
    return [device["name"] for body in slices for device in body["spec"].get("devices") or []]


def _versions(slices: Iterable[KubeObject]) -> dict[str, str]:
    return {b["metadata"]["name"]: b["metadata"]["resourceVersion"] for b in slices}


async def _until(stand: Stand, what: str, devices: Sequence[str]) -> None:
    """Wait for complete pools of these devices."""
    try:
        async with asyncio.timeout(stand.limits.start):
            while True:
                found = await _slices(stand)
                if found and is_complete(found) and _devices(found) == list(devices):
                    return
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        seen = f"{len(found)} slices with devices {_devices(found)} after {stand.limits.start:g} s"
        raise NotMetError(what, seen) from None


async def _belongs_to_its_node(stand: Stand) -> None:
    node = await stand.server.local.get("nodes", NODE)
    for body in await _slices(stand):
        spec, name = body["spec"], body["metadata"]["name"]
        if spec.get("nodeName") != NODE:
            raise UnsuitedError("the driver publishes devices that are not the node's own")
        owners = [o.get("uid") for o in body["metadata"].get("ownerReferences") or []]
        if owners != [uid_of(node)]:
            raise NotMetError(f"slice {name} owned by the node, {uid_of(node)}", f"{owners}")
        if NODE not in spec["pool"]["name"]:
            raise NotMetError("a pool named after the node", spec["pool"]["name"])


async def _puts_back(stand: Stand) -> None:
    before = _devices(await _slices(stand))
    everything = Selection(field_selector=f"spec.nodeName={NODE}")
    await stand.server.local.delete_collection(_RESOURCE, everything)
    await _until(stand, "the wiped slices, with the same devices in the same order", before)


async def _restart(stand: Stand) -> None:
    await stand.driver.process.stop(stand.limits.stop)
    await stand.start()
    await stand.published()
    await prepared(stand, await stand.claim(stand.use(stand.devices(1)[0])))
    await asyncio.sleep(stand.limits.moment)


async def _writes_nothing(stand: Stand) -> None:
    before = _versions(await _slices(stand))
    await _restart(stand)
    after = _versions(await _slices(stand))
    if after != before:
        raise NotMetError(f"slices as they were before the restart, {before}", f"{after}")


async def _keeps_order(stand: Stand) -> None:
    before = _devices(await _slices(stand))
    await stand.server.local.delete_collection(_RESOURCE, Selection())
    await _restart(stand)
    await _until(stand, f"devices in the order they had, {before}", before)


@asynccontextmanager
async def _watched(stand: Stand, devices: Sequence[str]) -> AsyncIterator[None]:
    """Look at each change of the slices: pools that are complete hold these devices."""
    selection = Selection(field_selector=f"spec.driver={stand.driver.name}")
    slices = {body["metadata"]["name"]: body for body in await _slices(stand)}

    async def look() -> None:
        async for change in stand.server.local.watch(_RESOURCE, selection):
            slices[change.object["metadata"]["name"]] = change.object
            if change.type == "DELETED":
                del slices[change.object["metadata"]["name"]]
            newest = max((b["spec"]["pool"]["generation"] for b in slices.values()), default=0)
            now = [b for _, b in sorted(slices.items())]
            current = [b for b in now if b["spec"]["pool"]["generation"] == newest]
            if current and is_complete(current) and _devices(current) != list(devices):
                seen = f"{_devices(current)} in a pool that calls itself complete"
                raise NotMetError(f"{list(devices)} or an incomplete pool", seen)

    task = asyncio.get_running_loop().create_task(look())
    try:
        yield
    finally:
        failed = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if failed:
            task.result()


async def _is_whole(stand: Stand) -> None:
    before = await _slices(stand)
    devices = _devices(before)
    async with _watched(stand, devices):
        for body in before:
            await stand.server.local.delete(ObjectRef(_RESOURCE, body["metadata"]["name"]))
            await _until(stand, "a deleted slice put back", devices)
        await _restart(stand)


async def _clears_up(stand: Stand) -> None:
    before = await _slices(stand)
    devices, pool = _devices(before), before[0]["spec"]["pool"]
    for name, driver, generation in (
        ("00000-of-an-older-version", stand.driver.name, pool["generation"] + 4),
        ("00000-of-another-driver", _OTHER, 1),
    ):
        old = {"name": pool["name"], "generation": generation, "resourceSliceCount": 1}
        spec = {"driver": driver, "nodeName": NODE, "pool": old, "devices": [{"name": "old"}]}
        await stand.server.local.create(_RESOURCE, {"metadata": {"name": name}, "spec": spec})
    try:
        await _until(stand, "its own slices in the pool's newest generation alone", devices)
        theirs = await stand.server.local.get(_RESOURCE, "00000-of-another-driver")
        if _devices([theirs]) != ["old"]:
            raise NotMetError("another driver's slice as it was", str(theirs["spec"]))
    finally:
        await stand.server.local.delete(ObjectRef(_RESOURCE, "00000-of-another-driver"))


async def _leaves_it_to_one(stand: Stand) -> None:
    first = await stand.start(pod_uid=str(uuid.uuid4()))
    await stand.published()
    second = await stand.start(pod_uid=str(uuid.uuid4()))
    if second.registration.socket == first.registration.socket:
        raise UnsuitedError("the driver does not name its sockets after the pod")
    before = _versions(await _slices(stand))
    await asyncio.sleep(max(stand.limits.moment, 1.0) * 2)
    after = _versions(await _slices(stand))
    if after != before:
        raise NotMetError("no writes while two instances run side by side", f"{before}, {after}")


CASES = (
    Case(
        "SLICE-01", "publishes in the node's name, owned by the node",
        "Pools are named per cluster and driver; slices whose owner is not the living node are garbage-collected.",
        "Name the pool after the node, and set its UID as owner, read from the API server.",
        _belongs_to_its_node,
    ),
    Case(
        "SLICE-02", "puts wiped slices back",
        "A kubelet that starts deletes all slices of its node.",
        "Watch your own slices and write them again when they are deleted.",
        _puts_back,
    ),
    Case(
        "SLICE-03", "a restart with the same devices writes nothing",
        "Every write wakes the schedulers of the cluster, and a fleet restarts together.",
        "Compare with what is there before writing, and list devices in a stable order.",
        _writes_nothing, _OWN,
    ),
    Case(
        "SLICE-04", "a complete pool holds all devices at every moment",
        "Consumers trust a pool whose slices of the highest generation are as many as each of them says.",
        "Move all slices of a pool to the next generation when more than one changes.",
        _is_whole, _OWN,
    ),
    Case(
        "SLICE-09", "removes slices of an older version of itself and leaves others' alone",
        "A slice with a higher generation hides all others of its pool.",
        "Delete slices of your driver and node that you would not write, and select by both.",
        _clears_up, _OWN,
    ),
    Case(
        "SLICE-12", "devices keep their order over a wipe and a restart",
        "The scheduler tries devices in the order of the slices; order is meaning.",
        "Sort what the vendor's library lists.",
        _keeps_order, _OWN,
    ),
    Case(
        "SLICE-14", "two instances of an upgrade do not write against each other",
        "Both watch the same slices; if each puts its own view back, neither ends.",
        "Let one of them publish, for example the younger one that is registered.",
        _leaves_it_to_one, _UPGRADED,
    ),
)  # fmt: skip
