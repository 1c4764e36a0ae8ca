"""DP-08: one device is never in two hands when a driver serves claims and a device plugin at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pydra_testbed.conformance import asking, serving, silicon
from pydra_testbed.conformance.asking import prepared, unprepared
from pydra_testbed.conformance.cases.plugins import BOTH
from pydra_testbed.conformance.model import Case, NotMetError, UnsuitedError
from pydra_testbed.conformance.offer import Offered
from pydra_testbed.conformance.plugincalls import calling
from pydra_testbed.conformance.pools import slices_of
from pydra_testbed.conformance.serving import begin, given, healthy
from pydra_testbed.conformance.silicon import Marks, Verdict
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.rpc import RpcError

_TRIED = 4
_RACES = 2
_COMPARED = 64
"""So many IDs are enough to look for a device among them."""
_HINDERING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class _Twin:
    """A published device, and the ID of a resource that stands for the same."""

    device: Offered
    resource: str
    id: str


async def _guards(stand: Stand) -> None:
    if not stand.profile.name:
        raise UnsuitedError("it serves no DRA")
    await begin(stand)
    twins, unshown = await _shows_claims(stand)
    if twins:
        await _shows_pods(stand, twins[0])
    for twin in twins:
        await _bears_a_race(stand, twin)
    if unshown:
        await _is_split(stand, unshown, must_tell=not twins)


async def _shows_claims(stand: Stand) -> tuple[list[_Twin], list[Offered]]:
    """Devices in a claim are Unhealthy, refused, and there again afterwards.

    Returns what stands for the same, and the devices for which nothing turned Unhealthy.
    """
    twins: list[_Twin] = []
    unshown: list[Offered] = []
    for device in stand.offer.together()[:_TRIED]:
        if twin := await _twin(stand, device):
            twins.append(twin)
        else:
            unshown.append(device)
        if len(twins) == _RACES:
            break
    return twins, unshown


async def _twin(stand: Stand, device: Offered) -> _Twin | None:
    before = _healthy(stand)
    ref = await stand.claim(stand.use(device))
    await prepared(stand, ref)
    try:
        await stand.until("", lambda: _healthy(stand) != before, stand.limits.notice)
    except NotMetError:
        await unprepared(stand, ref)
        return None
    name, each = min(before - _healthy(stand))
    await serving.refused(stand, name, [each], f"a claim has device {device.name}")
    await unprepared(stand, ref)
    await stand.until(
        f"{each} Healthy again once the claim is undone",
        lambda: _healthy(stand) >= before,
        stand.limits.recovery,
    )
    return _Twin(device, name, each)


async def _is_split(stand: Stand, unshown: list[Offered], *, must_tell: bool) -> None:
    """Devices that no ID stands for are no ID's: each gives a container something else than every ID does.

    Raises:
        UnsuitedError: it `must_tell`, and what containers get does not tell.
    """
    devices = await _marks_of_devices(stand, unshown)
    ids = await _marks_of_ids(stand)
    verdicts = set()
    for device in unshown:
        for (name, each), marks in ids.items():
            verdict = silicon.compared(devices[device.name], marks)
            if verdict is Verdict.SAME:
                raise NotMetError(
                    f"{each} of {name} Unhealthy while a claim has device {device.name}: a container gets the same"
                    " with both",
                    f"all IDs Healthy after {stand.limits.notice:g} s",
                )
            verdicts.add(verdict)
    if must_tell and verdicts != {Verdict.DIFFERENT}:
        raise UnsuitedError(
            "no ID turns Unhealthy while a claim has a device, and nothing that containers get tells whether the driver"
            " splits its devices for good or gives them away twice"
        )


async def _marks_of_devices(stand: Stand, unshown: list[Offered]) -> dict[str, Marks]:
    """By what these devices are known, each in a claim of its own, one after the other."""
    found = {}
    for device in unshown:
        ref = await stand.claim(stand.use(device))
        found[device.name] = silicon.of_claim(stand, device.name, await prepared(stand, ref))
        await unprepared(stand, ref)
    return dict(zip(found, silicon.own(list(found.values())), strict=True))


async def _marks_of_ids(stand: Stand) -> dict[tuple[str, str], Marks]:
    """By what IDs are known that pods can have; one that is refused was somebody's in a race, and shown as such."""
    found: dict[tuple[str, str], Marks] = {}
    for name, each in sorted(_healthy(stand))[:_COMPARED]:
        async with calling(stand.kubelet.plugins.endpoint(name), stand.limits.call) as plugin:
            try:
                answers = await plugin.allocate([each])
            except RpcError:
                continue
        if answers:
            found[name, each] = silicon.of_id(stand, each, answers[0])
    return found


async def _shows_pods(stand: Stand, twin: _Twin) -> None:
    """A device in a pod's hands is tainted, refused to claims, and free when the pod is gone."""
    plugins, device = stand.kubelet.plugins, twin.device
    await given(stand, "pod", twin.resource, [twin.id])
    asked = plugins.asked
    await stand.eventually(
        f"a taint of device {device.name} while a pod has {twin.id}",
        lambda: _is_hindered(stand, device),
        stand.limits.notice,
    )
    ref = await stand.claim(stand.use(device))
    await asking.refused(stand, ref, f"a pod has {twin.id}")
    await stand.until(
        "the driver to ask the pod-resources API what pods have",
        lambda: plugins.asked > asked,
        stand.limits.recovery,
    )
    plugins.pods.clear()
    await stand.eventually(
        f"no taint of device {device.name} once pod-resources names no pod with {twin.id}",
        lambda: _is_free(stand, device),
        stand.limits.recovery,
    )
    await prepared(stand, ref)
    await unprepared(stand, ref)


async def _bears_a_race(stand: Stand, twin: _Twin) -> None:
    """Claim and pod at the same moment: one of them at most."""
    await stand.until(
        f"{twin.id} Healthy",
        lambda: (twin.resource, twin.id) in _healthy(stand),
        stand.limits.recovery,
    )
    ref = await stand.claim(stand.use(twin.device))
    answers, is_given = await asyncio.gather(stand.driver.prepare(ref), _is_given(stand, twin))
    if is_given and not answers[ref.uid].error:
        raise NotMetError("a claim or a pod, when both ask at once", "both got the device")
    await unprepared(stand, ref)


async def _is_given(stand: Stand, twin: _Twin) -> bool:
    endpoint = stand.kubelet.plugins.endpoint(twin.resource)
    async with calling(endpoint, stand.limits.call) as plugin:
        try:
            await plugin.allocate([twin.id])
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
