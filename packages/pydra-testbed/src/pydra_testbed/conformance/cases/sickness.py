"""SLICE-06, HEALTH-02 and HEALTH-03: a device falls ill and gets well, and who hears of it.

The kit cannot make hardware sick: `--sicken` and `--heal` are commands that can.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydra_testbed.conformance.asking import prepared
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.offer import Offered
from pydra_testbed.conformance.older import Release
from pydra_testbed.conformance.pools import slices_of, until, usable, watched
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.services import ClaimAnswer
from pydra_testbed.objects import KubeObject

_ALONE = Conditions(own=True, alone=True, starts=False)
_FULL = Conditions(own=True, alone=True, starts=False, release=Release.NEW)
_MANY = 200
_ADVANCED = 64
_HINDERING = ("NoSchedule", "NoExecute")


def _check_commands(stand: Stand) -> None:
    if not stand.subject.sicken or not stand.subject.heal:
        raise UnsuitedError("nothing can make a device sick and well: give --sicken and --heal")


async def _taints(stand: Stand, device: str) -> list[KubeObject]:
    """The taints of a device that keep pods away."""
    return [
        taint
        for body in await slices_of(stand)
        for entry in body["spec"].get("devices") or []
        if entry["name"] == device
        for taint in entry.get("taints") or []
        if taint["effect"] in _HINDERING
    ]


async def _tainted(stand: Stand, device: str, *, yes: bool) -> None:
    what = f"a taint of device {device}" if yes else f"no taint of device {device} any more"
    seconds = stand.limits.notice if yes else stand.limits.recovery
    await stand.eventually(what, lambda: _is_tainted(stand, device, yes=yes), seconds)


async def _is_tainted(stand: Stand, device: str, *, yes: bool) -> bool:
    return bool(await _taints(stand, device)) == yes


async def _told(stand: Stand, answer: ClaimAnswer, health: str) -> None:
    """Wait until a pod's status says so of the claim's device."""

    def says() -> bool:
        return stand.kubelet.pod_health(stand.driver.name, answer) == [health]

    seconds = stand.limits.notice if health == "Unhealthy" else stand.limits.recovery
    await stand.until(f"{health} in the status of the pod that has the device", says, seconds)


async def _prepared(stand: Stand) -> tuple[Offered, ClaimAnswer]:
    _check_commands(stand)
    await stand.start()
    await stand.published()
    device = stand.devices(1)[0]
    answer = await prepared(stand, await stand.claim(stand.use(device)))
    return device, answer


@asynccontextmanager
async def _sick(stand: Stand, device: str) -> AsyncIterator[None]:
    """Within the block the device is sick."""
    await stand.change(stand.subject.sicken, device)
    try:
        yield
    finally:
        await stand.change(stand.subject.heal, device)


async def _falls_ill(stand: Stand) -> None:
    device, answer = await _prepared(stand)
    await _told(stand, answer, "Healthy")
    async with _sick(stand, device.name):
        await _told(stand, answer, "Unhealthy")
        await _tainted(stand, device.name, yes=True)


async def _recovers(stand: Stand) -> None:
    device, answer = await _prepared(stand)
    async with _sick(stand, device.name):
        await _waits_for_a_taint(stand, device.name)
    await _stays_tainted(stand, device.name)
    await _tainted(stand, device.name, yes=False)
    await _told(stand, answer, "Healthy")


async def _waits_for_a_taint(stand: Stand, device: str) -> None:
    try:
        await _tainted(stand, device, yes=True)
    except NotMetError as err:
        raise UnsuitedError("the driver taints no sick device: see HEALTH-02") from err


async def _stays_tainted(stand: Stand, device: str) -> None:
    """For the moment after its recovery: it may fall ill again."""
    try:
        await stand.eventually(
            "", lambda: _is_tainted(stand, device, yes=False), stand.limits.moment
        )
    except NotMetError:
        return
    raise NotMetError(
        "a taint that stays until the device has been well for a while",
        f"it was gone within {stand.limits.moment:g} s",
    )


def _is_full(spec: KubeObject) -> bool:
    return len(spec.get("devices") or []) >= _ADVANCED


async def _splits_on_a_taint(stand: Stand) -> None:
    _check_commands(stand)
    if not stand.subject.counts and not any(map(_is_full, stand.profile.slices)):
        raise UnsuitedError(f"no slice of the driver holds {_ADVANCED} devices")
    await stand.start(devices=_MANY)
    many = f"{_MANY} devices" if stand.subject.counts else "devices"
    await until(stand, many, lambda found: any(found.values()) or bool(stand.refusals))
    if stand.refusals:
        raise UnsuitedError(f"{many} are not published: see SLICE-05")
    slices = await slices_of(stand)
    wanted = usable(slices)
    full = [body for body in slices if _is_full(body["spec"])]
    if not full:
        raise UnsuitedError(f"no slice of the driver holds {_ADVANCED} devices")
    device = full[0]["spec"]["devices"][0]["name"]
    async with watched(stand, wanted), _sick(stand, device):
        try:
            await _tainted(stand, device, yes=True)
            await until(stand, "all devices, one of them tainted", lambda found: found == wanted)
        except NotMetError as err:
            raise NotMetError(err.expected, [err.seen, *stand.refusals][-1]) from None


CASES = (
    Case(
        "SLICE-06", "a taint on one device of a full slice leaves the pool whole",
        f"With a tainted device a slice holds {_ADVANCED} devices in place of 128.",
        "Cut the slice in two and move the pool to the next generation, or fill slices half from the start.",
        _splits_on_a_taint, _FULL,
    ),
    Case(
        "HEALTH-02", "a device that falls ill is told to its pod and tainted",
        "The pod's status is where its owner looks (KEP-4680), and without a taint the next pod gets the device.",
        "Send the list at once when something changes, and publish a taint with effect NoSchedule.",
        _falls_ill, _ALONE,
    ),
    Case(
        "HEALTH-03", "a device that got well loses its taint, after a while and not at once",
        "Hardware that flaps would draw pods each time it seems well, and every change wakes the schedulers.",
        "Take the taint away when the device has been well without a break for some time.",
        _recovers, _ALONE,
    ),
)  # fmt: skip
