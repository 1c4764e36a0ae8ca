"""DP-01 to DP-03 and DP-07: the kubelet finds a device plugin by either way, loses it, and reads its lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import Any

from pydra_testbed.conformance.model import Case, Conditions, NotMetError, Serving, UnsuitedError
from pydra_testbed.conformance.plugincalls import PluginCalls, calling
from pydra_testbed.conformance.plugins import Introduction
from pydra_testbed.conformance.serving import (
    allocated,
    begin,
    given,
    healthy,
    launch,
    resource,
    some,
    until_served,
)
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.rpc import RpcError

BOTH = Conditions(own=True, starts=False, serving=Serving.BOTH)
PLUGIN = Conditions(own=True, starts=False, serving=Serving.PLUGIN)
_ALONE = Conditions(own=True, starts=False, serving=Serving.BOTH, alone=True)
_LONGEST_ID = 63
_STREAMS = 5
_HEALTHS = ("Healthy", "Unhealthy")


async def _introduces_itself(stand: Stand) -> None:
    first = await begin(stand)
    ids = await _looked_at(stand)
    if not stand.profile.name:
        return
    await first.process.stop(stand.limits.stop)
    stand.variables = {**stand.variables, "ENABLE_DRA": "false"}
    before = len(stand.kubelet.calls)
    await begin(stand)
    if (others := await _looked_at(stand)) != ids:
        raise NotMetError(f"the same devices with ENABLE_DRA=false: {ids}", f"{others}")
    if stand.kubelet.calls[before:]:
        raise NotMetError("no DRA registration with ENABLE_DRA=false", "the driver registered")


async def _looked_at(stand: Stand) -> dict[str, list[str]]:
    """Check all registrations and lists; returns the IDs of each resource."""
    for made in stand.kubelet.plugins.introductions:
        if not made.watched:
            _check_introduction(made)
    return {name: await _checked_list(stand, name) for name in stand.profile.resources}


def _check_introduction(made: Introduction) -> None:
    if not made.listens:
        raise NotMetError(
            "an endpoint that takes connections when Register arrives",
            f"nobody listens on {made.endpoint}",
        )
    if made.error:
        raise NotMetError("a registration that the kubelet takes", made.error)
    if PurePath(made.endpoint).name != made.endpoint:
        raise NotMetError("a file's name as the endpoint, without folder", made.endpoint)


async def _checked_list(stand: Stand, name: str) -> list[str]:
    plugins = stand.kubelet.plugins
    async with calling(plugins.endpoint(name), stand.limits.call) as plugin:
        told = await plugin.options()
        devices = (await _first(plugin, stand.limits.notice)).devices
    for made in plugins.introductions:
        promises = zip(made.options, told, strict=True)
        if made.resource == name and any(said and not holds for said, holds in promises):
            raise NotMetError(
                f"what Register promises, {made.options}, from GetDevicePluginOptions", f"{told}"
            )
    ids = [device.ID for device in devices]
    bad = [each for each in ids if not 0 < len(each) <= _LONGEST_ID]
    if bad or len(set(ids)) < len(ids):
        raise NotMetError(f"IDs of 1 to {_LONGEST_ID} characters, each once", f"{bad or ids}")
    if odd := [device.health for device in devices if device.health not in _HEALTHS]:
        raise NotMetError(" or ".join(_HEALTHS), odd[0] or "(nothing)")
    return sorted(ids)


async def _first(plugin: PluginCalls, seconds: float) -> Any:
    """The list that a new stream begins with."""
    try:
        async with asyncio.timeout(seconds):
            async for message in plugin.lists():
                return message
    except TimeoutError:
        raise NotMetError("a list as soon as a stream opens", f"none after {seconds:g} s") from None
    raise NotMetError("a stream that stays open", "it ended")


async def _survives_kubelets(stand: Stand) -> None:
    """Restarts with the same inode number and with another one, a pod's devices in hand."""
    await begin(stand)
    name, ids = some(stand, 1)
    before = await given(stand, "pod", name, ids)
    for same in (True, False):
        stand.kubelet.plugins.same_inode = same
        how = "the same inode number" if same else "another inode number"
        try:
            await _restart(stand)
        except NotMetError as err:
            text = f"{err.expected} again after a restart, kubelet.sock with {how}"
            raise NotMetError(text, err.seen) from err
        after = (await allocated(stand, name, ids))[0]
        if after != before:
            raise NotMetError(f"the answer of before the restart: {before}", f"{after}")


async def _restart(stand: Stand) -> None:
    seen = len(stand.kubelet.plugins.introductions)
    await stand.stop_kubelet()
    await asyncio.sleep(stand.limits.moment)
    await stand.start_kubelet()
    await until_served(stand, seen)


async def _sends_all(stand: Stand) -> None:
    await begin(stand)
    name, devices = resource(stand)
    for _ in range(_STREAMS):
        async with calling(stand.kubelet.plugins.endpoint(name), stand.limits.call) as plugin:
            listed = {device.ID for device in (await _first(plugin, stand.limits.notice)).devices}
        if listed != set(devices):
            raise NotMetError(f"{sorted(devices)} on every new stream", f"{sorted(listed)}")
    if stand.kubelet.plugins.devices(name).keys() != devices.keys():
        raise NotMetError("a first stream that goes on meanwhile", "it ended")


async def _tells_of_illness(stand: Stand) -> None:
    if not stand.subject.sicken or not stand.subject.heal:
        raise UnsuitedError("nothing can make a device sick and well: give --sicken and --heal")
    await begin(stand)
    name, devices = resource(stand)
    device = stand.devices(1)[0].name if stand.profile.name else healthy(devices)[0]
    async with _sick(stand, device):
        what = f"{name}: all devices in one list, some of them Unhealthy"
        await _listed(stand, name, what, set(devices), sick=True)
    what = f"{name}: all devices in one list, Healthy again"
    await _listed(stand, name, what, set(devices), sick=False)


@asynccontextmanager
async def _sick(stand: Stand, device: str) -> AsyncIterator[None]:
    await stand.change(stand.subject.sicken, device)
    try:
        yield
    finally:
        await stand.change(stand.subject.heal, device)


async def _listed(stand: Stand, name: str, what: str, ids: set[str], *, sick: bool) -> None:
    plugins = stand.kubelet.plugins

    def holds() -> bool:
        found = plugins.devices(name)
        return found.keys() == ids and (len(healthy(found)) < len(found)) == sick

    seconds = stand.limits.notice if sick else stand.limits.recovery
    try:
        await stand.until(what, holds, seconds)
    except NotMetError:
        found = plugins.devices(name)
        told = ", ".join(f"{each} {device.health}" for each, device in found.items())
        raise NotMetError(what, f"after {seconds:g} s: {told or 'nothing'}") from None


async def _registers_by_the_registry(stand: Stand) -> None:
    stand.kubelet.plugins.takes_calls = False
    await stand.stop_kubelet()
    await stand.start_kubelet()
    await launch(stand)
    asked = stand.kubelet.calls
    try:
        await stand.until(
            "", lambda: any(c.method == "GetInfo" for c in asked), 2 * stand.limits.notice
        )
    except NotMetError as err:
        raise UnsuitedError("without the folder device-plugins it registers nowhere") from err
    await until_served(stand, 0)
    name, ids = some(stand, 1)
    try:
        await given(stand, "pod", name, ids)
        await _restart(stand)
        await allocated(stand, name, ids)
    except RpcError as err:
        raise NotMetError("calls answered at the endpoint that GetInfo names", str(err)) from err


CASES = (
    Case(
        "DP-01", "registers while it serves, and lists its devices, with DRA and without",
        "The kubelet dials the endpoint back before it answers Register, and asks for options there. IDs have 63"
        " characters at most.",
        "Serve before you register; register with version v1beta1, the socket's file name and no options that"
        " GetDevicePluginOptions has not; with ENABLE_DRA=false list the same devices and leave plugins_registry alone.",
        _introduces_itself, BOTH,
    ),
    Case(
        "DP-02", "registers again after restarts of the kubelet, and still knows what it gave",
        "A kubelet that starts deletes every socket in device-plugins, and its own new one often has the inode"
        " number of the old one.",
        "Watch the folder, compare inode number and change time, and take a socket of yours that is gone, or a"
        " stream that was cut, for a restart; bind and register anew.",
        _survives_kubelets, BOTH,
    ),
    Case(
        "DP-03", "sends all devices at once on every new stream",
        "What is not in a list is gone from the node; a kubelet that comes back knows nothing of earlier lists.",
        "Begin each stream with the whole list, and let streams know nothing of each other.",
        _sends_all, BOTH,
    ),
    Case(
        "DP-07", "registers through plugins_registry where there is no folder device-plugins",
        "The kubelet calls kubelet.sock deprecated; registration type DevicePlugin in plugins_registry is the other way.",
        "Where the folder is missing, serve GetInfo in plugins_registry: type DevicePlugin, the resource as the"
        " name, the absolute path of the endpoint, version v1beta1.",
        _registers_by_the_registry, PLUGIN,
    ),
    Case(
        "DP-11", "tells of a device that falls ill and gets well, in a whole list each time",
        "Only a list makes the kubelet keep pods from a device; each list replaces the one before.",
        "Send the whole list again whenever the health of a device changes.",
        _tells_of_illness, _ALONE,
    ),
)  # fmt: skip
