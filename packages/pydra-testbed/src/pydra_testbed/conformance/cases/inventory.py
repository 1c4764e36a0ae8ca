"""SLICE-05, SLICE-11 and SLICE-13: what is written for many devices, for some and for none at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pydra_testbed.conformance.front import Written
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.older import Release
from pydra_testbed.conformance.pools import Usable, devices_of, newest, slices_of, until
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.objects import KubeObject

_SEEN = Conditions(own=True, starts=False, release=Release.NEW)
_MANY = 200
_FULL, _FULL_ADVANCED = 128, 64
_CANNOT_COUNT = "the command cannot be told how many devices there are: give --start with {devices}"


async def _splits(stand: Stand) -> None:
    count = len(devices_of({"spec": spec} for spec in stand.profile.slices))
    if not stand.subject.counts and 0 < count <= _FULL:
        raise UnsuitedError(f"the driver publishes {count} devices; {_CANNOT_COUNT}")
    await stand.start(devices=_MANY)
    wanted = _MANY if stand.subject.counts else max(count, 1)
    await _published(stand, f"{wanted} devices in complete pools", wanted, too_many=True)
    for pool, slices in newest(await slices_of(stand)).items():
        if twice := [name for name, times in Counter(devices_of(slices)).items() if times > 1]:
            raise NotMetError("each device in one slice", f"pool {pool}: {twice} in several")


async def _published(stand: Stand, what: str, wanted: int, *, too_many: bool) -> Usable:
    """Wait for that many devices, and look why the server refused slices: as too large, or otherwise."""

    def done(found: Usable) -> bool:
        return _count(found) >= wanted or bool(stand.refusals)

    found = await until(stand, what, done)
    if said := _refusal(_written(stand), too_many=too_many):
        raise NotMetError(what, said)
    if _count(found) < wanted:
        other = "SLICE-11" if too_many else "SLICE-05"
        raise UnsuitedError(f"the API server refuses the driver's slices: see {other}")
    return found


def _count(found: Usable) -> int:
    return sum(map(len, found.values()))


def _written(stand: Stand) -> Sequence[Written]:
    return stand.front.written if stand.front else ()


def _refusal(written: Sequence[Written], *, too_many: bool) -> str:
    """Why the server refused a slice: because of its number of devices, or of anything else."""
    for one in written:
        if one.refusal and (len(one.devices) > _limit(one.devices)) == too_many:
            return f"the API server refused a slice of {len(one.devices)} devices: {one.refusal}"
    return ""


def _limit(devices: Sequence[KubeObject]) -> int:
    advanced = any(d.get("taints") or d.get("consumesCounters") for d in devices)
    return _FULL_ADVANCED if advanced else _FULL


async def _keeps_limits(stand: Stand) -> None:
    await stand.start()
    await _published(stand, "slices that the API server takes", 1, too_many=False)
    for pool, slices in newest(await slices_of(stand)).items():
        specs = [body["spec"] for body in slices]
        for fault in _faults(stand.driver.name, specs):
            raise NotMetError("a pool that the scheduler can use", f"pool {pool}: {fault}")


def _faults(driver: str, specs: Sequence[KubeObject]) -> Iterator[str]:
    """What no single slice shows the API server (resource.k8s.io/v1, ResourceSlice)."""
    devices = [device for spec in specs for device in spec.get("devices") or []]
    sets = [entry for spec in specs for entry in spec.get("sharedCounters") or []]
    for kind, entries in (("device", devices), ("counter set", sets)):
        for name, times in Counter(entry["name"] for entry in entries).items():
            if times > 1:
                yield f"{kind} {name} is published {times} times, and names are unique in a pool"
    known = {entry["name"]: set(entry["counters"]) for entry in sets}
    for device in devices:
        yield from _device_faults(driver, device, known)


def _device_faults(driver: str, device: KubeObject, known: dict[str, set[str]]) -> Iterator[str]:
    where = f"device {device['name']}"
    facts = {**(device.get("attributes") or {}), **(device.get("capacity") or {})}
    for name in facts:
        if "/" not in name and f"{driver}/{name}" in facts:
            yield f"{where}: {name} and {driver}/{name} are two spellings of one name"
    for entry in device.get("consumesCounters") or []:
        name, wanted = entry["counterSet"], set(entry["counters"])
        if name not in known:
            yield f"{where}: consumes of counter set {name}, which is not in the pool"
        elif missing := sorted(wanted - known[name]):
            yield f"{where}: consumes counters {missing}, which set {name} does not have"


async def _empties(stand: Stand) -> None:
    if not stand.subject.counts:
        raise UnsuitedError(_CANNOT_COUNT)
    await stand.start()
    await stand.published()
    await stand.driver.process.stop(stand.limits.stop)
    await stand.start(devices=0)
    await until(
        stand, "a complete pool of no device", lambda found: bool(found) and not _count(found)
    )
    if left := devices_of(await slices_of(stand)):
        raise NotMetError("no device in any slice", f"{left} in slices of older generations")


CASES = (
    Case(
        "SLICE-05", f"publishes {_MANY} devices in as many slices as they need",
        f"A slice holds {_FULL} devices, {_FULL_ADVANCED} if one of them has taints or consumes counters; a pool is all"
        " slices of one generation, each of which says how many there are.",
        "Cut the list at the limits, and give all slices the same generation and resourceSliceCount.",
        _splits, _SEEN,
    ),
    Case(
        "SLICE-11", "no slice that it writes is refused, and its pool holds together",
        "A refused slice leaves the pool incomplete, and the scheduler leaves incomplete or contradictory pools alone.",
        "Check names, lengths and numbers before writing; device and counter set names are unique in the whole pool.",
        _keeps_limits, _SEEN,
    ),
    Case(
        "SLICE-13", "without any device it publishes a pool of none",
        "Slices of before offer devices that are gone, and no slice at all looks like a driver that is not there.",
        "Publish one slice without devices.",
        _empties, Conditions(own=True, starts=False),
    ),
)  # fmt: skip
