"""DP-08: one device is never in two hands when a driver serves claims and a device plugin at once."""

from __future__ import annotations

import asyncio

from pydra_testbed.conformance import asking, serving
from pydra_testbed.conformance.asking import prepared, unprepared
from pydra_testbed.conformance.cases.plugins import BOTH
from pydra_testbed.conformance.model import Case, NotMetError, UnsuitedError
from pydra_testbed.conformance.offer import Offered
from pydra_testbed.conformance.plugincalls import calling
from pydra_testbed.conformance.pools import slices_of
from pydra_testbed.conformance.serving import begin, given, healthy
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.rpc import RpcError

_TRIED = 4
_RACES = 5
_HINDERING = ("NoSchedule", "NoExecute")


async def _guards(stand: Stand) -> None:
    if not stand.profile.name:
        raise UnsuitedError("it serves no DRA")
    await begin(stand)
    device, name, twin = await _shows_claims(stand)
    await _shows_pods(stand, device, name, twin)
    await _bears_races(stand, device, name, twin)


async def _shows_claims(stand: Stand) -> tuple[Offered, str, str]:
    """A device in a claim is Unhealthy, refused, and there again afterwards; returns it with its resource and ID."""
    before = _healthy(stand)
    for device in stand.offer.together()[:_TRIED]:
        ref = await stand.claim(stand.use(device))
        await prepared(stand, ref)
        try:
            await stand.until("", lambda: _healthy(stand) != before, stand.limits.notice)
        except NotMetError:
            await unprepared(stand, ref)
            continue
        name, twin = min(before - _healthy(stand))
        await serving.refused(stand, name, [twin], f"a claim has device {device.name}")
        await unprepared(stand, ref)
        await stand.until(
            f"{twin} Healthy again once the claim is undone",
            lambda: _healthy(stand) >= before,
            stand.limits.recovery,
        )
        return device, name, twin
    raise NotMetError(
        "an ID that turns Unhealthy while a claim has its device",
        f"all of them Healthy after {stand.limits.notice:g} s",
    )


async def _shows_pods(stand: Stand, device: Offered, name: str, twin: str) -> None:
    """A device in a pod's hands is tainted, refused to claims, and free when the pod is gone."""
    await given(stand, "pod", name, [twin])
    await stand.eventually(
        f"a taint of device {device.name} while a pod has {twin}",
        lambda: _is_hindered(stand, device),
        stand.limits.notice,
    )
    ref = await stand.claim(stand.use(device))
    await asking.refused(stand, ref, f"a pod has {twin}")
    stand.kubelet.plugins.pods.clear()
    await stand.eventually(
        f"no taint of device {device.name} once pod-resources names no pod with {twin}",
        lambda: _is_free(stand, device),
        stand.limits.recovery,
    )
    await prepared(stand, ref)
    await unprepared(stand, ref)


async def _bears_races(stand: Stand, device: Offered, name: str, twin: str) -> None:
    """Claim and pod at the same moment: one of them at most."""
    for _ in range(_RACES):
        await stand.until(
            f"{twin} Healthy", lambda: (name, twin) in _healthy(stand), stand.limits.recovery
        )
        ref = await stand.claim(stand.use(device))
        answers, is_given = await asyncio.gather(
            stand.driver.prepare(ref), _is_given(stand, name, twin)
        )
        is_prepared = not answers[ref.uid].error
        if is_prepared and is_given:
            raise NotMetError("a claim or a pod, when both ask at once", "both got the device")
        stand.kubelet.plugins.pods.clear()
        await unprepared(stand, ref)
        await stand.eventually(
            f"no taint of device {device.name}",
            lambda: _is_free(stand, device),
            stand.limits.recovery,
        )


async def _is_given(stand: Stand, name: str, twin: str) -> bool:
    endpoint = stand.kubelet.plugins.endpoint(name)
    async with calling(endpoint, stand.limits.call) as plugin:
        try:
            await plugin.allocate([twin])
        except RpcError:
            return False
    return True


def _healthy(stand: Stand) -> set[tuple[str, str]]:
    plugins = stand.kubelet.plugins
    return {(name, each) for name in plugins.resources() for each in healthy(plugins.devices(name))}


async def _is_hindered(stand: Stand, device: Offered) -> bool:
    """Tainted, or not offered at all."""
    found = [
        entry
        for body in await slices_of(stand)
        for entry in body["spec"].get("devices") or []
        if entry["name"] == device.name
    ]
    return not found or any(
        taint["effect"] in _HINDERING for entry in found for taint in entry.get("taints") or []
    )


async def _is_free(stand: Stand, device: Offered) -> bool:
    return not await _is_hindered(stand, device)


CASES = (
    Case(
        "DP-08", "a device is in one hand: claims and pods see what the other side has",
        "The scheduler counts extended resources and allocates claims without knowing that both are the same"
        " devices; only the driver knows.",
        "Keep one ledger for both sides under one lock; list what a claim has as Unhealthy, taint what a pod has with"
        " NoSchedule, refuse whoever comes too late, and free what pod-resources no longer names.",
        _guards, BOTH,
    ),
)  # fmt: skip
