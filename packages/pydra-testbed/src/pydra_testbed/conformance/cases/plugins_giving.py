"""DP-04 to DP-06: what a device plugin answers when the kubelet asks for devices, for advice, and where devices are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydra_testbed.conformance.asking import prepared, unprepared
from pydra_testbed.conformance.cases.plugins import BOTH, PLUGIN
from pydra_testbed.conformance.model import Case, NotMetError, UnsuitedError
from pydra_testbed.conformance.offer import Offered
from pydra_testbed.conformance.plugincalls import Choice, PluginCalls, calling
from pydra_testbed.conformance.pools import slices_of
from pydra_testbed.conformance.serving import (
    allocated,
    begin,
    given,
    healthy,
    refused,
    resource,
    some,
)
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.rpc import RpcError

_NOBODY = "conformance-no-such-device"
_NUMA = "resource.kubernetes.io/numaNode"
_TRIED = 3
_MOST = 8
"""So many devices are enough to ask for advice about."""


async def _gives(stand: Stand) -> None:
    await begin(stand)
    name, ids = some(stand, 1)
    first = await given(stand, "pod-0", name, ids)
    await _same(stand, name, ids, first, "a repeated Allocate")
    await refused(stand, name, [_NOBODY], "it never listed that device")
    await refused(stand, name, [*ids, _NOBODY], "it never listed one of them")
    await _gives_several(stand, name, ids)
    for kill in (True, False):
        process = stand.driver.process
        await (process.kill() if kill else process.stop(stand.limits.stop))
        await begin(stand)
        how = "killed and started" if kill else "stopped and started"
        await _same(stand, name, ids, first, f"Allocate once it was {how} again")


async def _same(stand: Stand, name: str, ids: list[str], first: object, what: str) -> None:
    answer = (await allocated(stand, name, ids))[0]
    if answer != first:
        raise NotMetError(f"{what}: the answer it gave before, {first}", f"{answer}")


async def _gives_several(stand: Stand, name: str, taken: Sequence[str]) -> None:
    """Two devices for one container, then for one each: an init container's devices are used again."""
    free = [each for each in healthy(stand.kubelet.plugins.devices(name)) if each not in taken][:2]
    if not free:
        return
    await given(stand, "pod-1", name, free)
    alone = [(await allocated(stand, name, [each]))[0] for each in free]
    if await allocated(stand, name, *([each] for each in free)) != alone:
        raise NotMetError(
            "two containers of one call to be answered in order, each as if asked alone",
            "other answers",
        )


async def _advises(stand: Stand) -> None:
    await begin(stand)
    name, devices = resource(stand)
    ids = healthy(devices)[:_MOST]
    async with calling(stand.kubelet.plugins.endpoint(name), stand.limits.call) as plugin:
        if not (await plugin.options())[1]:
            raise UnsuitedError("it offers no GetPreferredAllocation")
        for choice in _choices(ids):
            await _check_advice(plugin, choice)


def _choices(ids: Sequence[str]) -> Iterator[Choice]:
    """All sizes, from all devices and from half of them, with nothing in hand and with the last one."""
    for available in (ids, ids[::2], ids[::-1]):
        for size in range(1, len(available) + 1):
            yield Choice(tuple(available), (), size)
            yield Choice(tuple(available), (available[-1],), size)


async def _check_advice(plugin: PluginCalls, choice: Choice) -> None:
    asked = f"{choice.size} of {', '.join(choice.available)}"
    if choice.included:
        asked += f", {', '.join(choice.included)} among them"
    try:
        advice = await plugin.preferred(choice)
    except RpcError as err:
        raise NotMetError(f"advice about {asked}", str(err)) from err
    is_apt = len(advice) == len(set(advice)) == choice.size and set(choice.included) <= set(
        advice
    ) <= set(choice.available)
    if not is_apt:
        raise NotMetError(f"advice of {asked}", ", ".join(advice) or "none")


async def _says_where(stand: Stand) -> None:
    await begin(stand)
    name, _ = resource(stand)
    plugins = stand.kubelet.plugins
    for each in stand.profile.resources:
        odd = [d for d in plugins.devices(each).values() if any(node < 0 for node in d.nodes)]
        if odd:
            raise NotMetError("NUMA nodes from 0 on, or none", f"{odd[0].id}: {odd[0].nodes}")
    if stand.profile.name:
        await _agrees_with_itself(stand, name)


async def _agrees_with_itself(stand: Stand, name: str) -> None:
    """Prepare devices and see which IDs turn Unhealthy: those stand for the same, and must be in the same place."""
    plugins = stand.kubelet.plugins
    nodes = await _attributes(stand)
    for device in stand.offer.together()[:_TRIED]:
        if device.name not in nodes:
            continue
        for twin in await _twins(stand, name, device):
            hinted = plugins.devices(name)[twin].nodes
            if nodes[device.name] not in hinted:
                raise NotMetError(
                    f"{twin}: NUMA node {nodes[device.name]}, as {_NUMA} of device {device.name}",
                    f"{list(hinted) or 'none'}",
                )


async def _twins(stand: Stand, name: str, device: Offered) -> list[str]:
    plugins = stand.kubelet.plugins
    before = set(healthy(plugins.devices(name)))
    ref = await stand.claim(stand.use(device))
    await prepared(stand, ref)
    try:
        await stand.until(
            "", lambda: set(healthy(plugins.devices(name))) != before, stand.limits.notice
        )
    except NotMetError:
        return []  # which is what DP-08 is about
    else:
        found = before - set(healthy(plugins.devices(name)))
    finally:
        await unprepared(stand, ref)
    await stand.until(
        "devices of an undone claim to be Healthy again",
        lambda: set(healthy(plugins.devices(name))) >= before,
        stand.limits.recovery,
    )
    return sorted(found)


async def _attributes(stand: Stand) -> dict[str, int]:
    """The NUMA node of each device that says it has one."""
    return {
        device["name"]: int(device["attributes"][_NUMA]["int"])
        for body in await slices_of(stand)
        for device in body["spec"].get("devices") or []
        if "int" in ((device.get("attributes") or {}).get(_NUMA) or {})
    }


CASES = (
    Case(
        "DP-04", "gives devices: each container its answer, the same again, also after kill -9",
        "The kubelet asks at admission, one container at a time, for init containers too, and nobody says when a"
        " device is free again; what a plugin refuses fails the pod with the plugin's text.",
        "Keep what was given on disk before you answer, write spec files before you name devices of them, and refuse"
        " IDs you never listed with an error that says so.",
        _gives, PLUGIN,
    ),
    Case(
        "DP-05", "prefers as many devices as asked for, from those there are",
        "The kubelet takes advice for granted when it is a part of what it offered, and ignores the rest.",
        "Answer with exactly allocation_size of the available IDs, must_include_deviceIDs among them.",
        _advises, PLUGIN,
    ),
    Case(
        "DP-06", "NUMA nodes are never negative, and those of the published devices",
        "Linux says -1 for a card without a node; the topology manager would take that for a node.",
        f"Leave topology out where the node is not known, and take it from where {_NUMA} comes from.",
        _says_where, BOTH,
    ),
)  # fmt: skip
