"""PREP-10, PREP-11 and UNPREP-07: devices that several claims have at once."""

from __future__ import annotations

from pydra_testbed.conformance.asking import prepared, unprepared
from pydra_testbed.conformance.model import Case, NotMetError, UnsuitedError
from pydra_testbed.conformance.offer import Offered
from pydra_testbed.conformance.running import V1
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet import ClaimRef


def _shared(stand: Stand) -> Offered:
    device = next((d for d in stand.offer.together() if d.shares), None)
    if device is None:
        raise UnsuitedError("no published device allows multiple allocations")
    if V1 not in stand.driver.versions:
        raise UnsuitedError(f"share IDs need {V1}, which it does not list")
    return device


async def _two(stand: Stand) -> list[tuple[ClaimRef, str]]:
    uses = [stand.use(_shared(stand)) for _ in range(2)]
    return [(await stand.claim(use), use.share_id) for use in uses]


async def _share_ids(stand: Stand) -> None:
    ids: list[str] = []
    for ref, share in await _two(stand):
        answer = await prepared(stand, ref)
        echoed = [device.share_id for device in answer.devices]
        if echoed != [share]:
            raise NotMetError(f"share_id {share} of the allocation", str(echoed))
        ids += [cdi for device in answer.devices for cdi in device.cdi_ids]
    if len(set(ids)) != len(ids):
        raise NotMetError("CDI device IDs of its own for each share", ", ".join(ids))


async def _other_share(stand: Stand) -> None:
    (gone, _), (kept, _) = await _two(stand)
    await prepared(stand, gone)
    first = await prepared(stand, kept)
    edits = stand.cdi.edits(kept, first)
    await unprepared(stand, gone)
    stand.cdi.check(first)
    if stand.cdi.edits(kept, first) != edits:
        raise NotMetError("the other share's container edits as before", "they changed")


async def _admin(stand: Stand) -> None:
    device = stand.devices(1)[0]
    owner = await stand.claim(stand.use(device))
    admin = await stand.claim(stand.use(device, admin=True))
    first = await prepared(stand, owner)
    await prepared(stand, admin)
    await unprepared(stand, admin)
    stand.cdi.check(first)


PREPARE = (
    Case(
        "PREP-10", "echoes share IDs and gives each share a CDI name of its own",
        "Health and pod-resources find a share by the share_id of the answer (dra.v1 Device.share_id, KEP-5075);"
        " two files that define one CDI device cancel each other.",
        "Copy shareID from the result; make it part of the CDI device name.",
        _share_ids,
    ),
    Case(
        "PREP-11", "prepares admin access beside the device's owner",
        "A result with adminAccess is for monitoring: it takes the device from nobody (KEP-5018).",
        "Leave such results out of the overlap check; do not reset or reconfigure for them.",
        _admin,
    ),
)  # fmt: skip
UNPREPARE = (
    Case(
        "UNPREP-07", "undoes one share and leaves the other",
        "Shares of a device come and go by themselves.",
        "Count the shares of what is set up for the device as a whole; remove by claim, not by device.",
        _other_share,
    ),
)  # fmt: skip
