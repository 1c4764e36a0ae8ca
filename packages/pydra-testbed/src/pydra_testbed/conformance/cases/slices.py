"""SLICE: what the driver publishes is whole, stays, and costs no writes."""

from __future__ import annotations

import asyncio
import uuid

from pydra_testbed.conformance.access import NODE
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.pools import (
    RESOURCE,
    devices_of,
    restart,
    slices_of,
    until_devices,
    usable,
    versions_of,
    watched,
)
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.objects import ObjectRef, Selection, uid_of

_OWN = Conditions(own=True)
_UPGRADED = Conditions(own=True, starts=False)
_OTHER = "others.conformance.example"


async def _belongs_to_its_node(stand: Stand) -> None:
    node = await stand.server.local.get("nodes", NODE)
    for body in await slices_of(stand):
        spec, name = body["spec"], body["metadata"]["name"]
        if spec.get("nodeName") != NODE:
            raise UnsuitedError("the driver publishes devices that are not the node's own")
        owners = [o.get("uid") for o in body["metadata"].get("ownerReferences") or []]
        if owners != [uid_of(node)]:
            raise NotMetError(f"slice {name} owned by the node, {uid_of(node)}", f"{owners}")
        if NODE not in spec["pool"]["name"]:
            raise NotMetError("a pool named after the node", spec["pool"]["name"])


async def _puts_back(stand: Stand) -> None:
    before = usable(await slices_of(stand))
    everything = Selection(field_selector=f"spec.nodeName={NODE}")
    await stand.server.local.delete_collection(RESOURCE, everything)
    await until_devices(stand, "the wiped slices, with the same devices in the same order", before)


async def _writes_nothing(stand: Stand) -> None:
    before = versions_of(await slices_of(stand))
    await restart(stand)
    after = versions_of(await slices_of(stand))
    if after != before:
        raise NotMetError(f"slices as they were before the restart, {before}", f"{after}")


async def _keeps_order(stand: Stand) -> None:
    before = usable(await slices_of(stand))
    await stand.server.local.delete_collection(RESOURCE, Selection())
    await restart(stand)
    await until_devices(stand, f"devices in the order they had, {dict(before)}", before)


async def _is_whole(stand: Stand) -> None:
    before = await slices_of(stand)
    devices = usable(before)
    async with watched(stand, devices):
        for body in before:
            await stand.server.local.delete(ObjectRef(RESOURCE, body["metadata"]["name"]))
            await until_devices(stand, "a deleted slice put back", devices)
        await restart(stand)


async def _clears_up(stand: Stand) -> None:
    before = await slices_of(stand)
    devices, pool = usable(before), before[0]["spec"]["pool"]
    for name, driver, generation in (
        ("00000-of-an-older-version", stand.driver.name, pool["generation"] + 4),
        ("00000-of-another-driver", _OTHER, 1),
    ):
        old = {"name": pool["name"], "generation": generation, "resourceSliceCount": 1}
        spec = {"driver": driver, "nodeName": NODE, "pool": old, "devices": [{"name": "old"}]}
        await stand.server.local.create(RESOURCE, {"metadata": {"name": name}, "spec": spec})
    try:
        await until_devices(stand, "its own slices in the pool's newest generation alone", devices)
        theirs = await stand.server.local.get(RESOURCE, "00000-of-another-driver")
        if devices_of([theirs]) != ["old"]:
            raise NotMetError("another driver's slice as it was", str(theirs["spec"]))
    finally:
        await stand.server.local.delete(ObjectRef(RESOURCE, "00000-of-another-driver"))


async def _leaves_it_to_one(stand: Stand) -> None:
    first = await stand.start(pod_uid=str(uuid.uuid4()))
    await stand.published()
    second = await stand.start(pod_uid=str(uuid.uuid4()))
    if second.registration.socket == first.registration.socket:
        raise UnsuitedError("the driver does not name its sockets after the pod")
    before = versions_of(await slices_of(stand))
    await asyncio.sleep(max(stand.limits.moment, 1.0) * 2)
    after = versions_of(await slices_of(stand))
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
