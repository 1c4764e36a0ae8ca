"""Drivers as device plugins on a stand: started, waited for, and asked for devices as an admitted pod would have them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pydra_cdi import Registry
from pydra_testbed.conformance.kubelet import Registration
from pydra_testbed.conformance.model import NotMetError, Profile, UnsuitedError
from pydra_testbed.conformance.plugincalls import calling
from pydra_testbed.conformance.plugins import Held
from pydra_testbed.conformance.process import Process
from pydra_testbed.conformance.running import Running
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.deviceplugins.model import HEALTHY, PluginDevice
from pydra_testbed.kubelet.rpc import RpcError

_LOOK = 0.02
_NOT_DRA = Registration("", "", ())


async def begin(stand: Stand, *, pod_uid: str = "") -> Running:
    """Start the driver and wait until all it can serve is served. Raises `NotMetError`."""
    before = len(stand.kubelet.plugins.introductions)
    if stand.profile.name and not _is_alone(stand):
        running = await stand.start(pod_uid=pod_uid)
        await stand.published()
    else:
        running = await launch(stand, pod_uid=pod_uid)
    await until_served(stand, before)
    return running


async def launch(stand: Stand, *, pod_uid: str = "") -> Running:
    """Start the driver as a device plugin alone, and wait for nothing."""
    process = await stand.launch(pod_uid=pod_uid)
    running = Running(process, _NOT_DRA, stand.limits)
    stand.running.append(running)
    return running


async def until_served(stand: Stand, before: int) -> None:
    """Wait until every resource was introduced again after the first `before` times, and listed."""
    plugins = stand.kubelet.plugins

    def served() -> bool:
        done = {made.resource for made in plugins.introductions[before:] if made.done}
        there = set(plugins.resources())
        return all(name in done and name in there for name in stand.profile.resources)

    await _patiently(stand, f"devices of {', '.join(stand.profile.resources)} listed", served)


async def learn(stand: Stand) -> Profile:
    """Start the driver once, told to serve both, to see what it serves.

    Raises:
        UnsuitedError: it serves no device plugin.
        NotMetError: it serves nothing at all.
    """
    process = (await launch(stand)).process
    plugins = stand.kubelet.plugins

    def is_driver() -> bool:
        return any(each.socket for each in stand.kubelet.instances)

    what = "a device plugin's registration and its devices"
    try:
        await _patiently(stand, what, lambda: is_driver() or bool(plugins.resources()))
    except NotMetError as err:
        if process.code is not None and await _is_driver_at_least(stand):
            why = f"told to serve a device plugin (ENABLE_DEVICE_PLUGIN=true) it ends: {err.seen}"
            raise UnsuitedError(why) from err
        raise
    await _settled(stand, is_driver)
    if not plugins.resources():
        raise UnsuitedError("it serves no device plugin when ENABLE_DEVICE_PLUGIN is true")
    name = next((each.name for each in stand.kubelet.instances), stand.profile.name)
    return replace(stand.profile, name=name, resources=tuple(plugins.resources()))


async def _is_driver_at_least(stand: Stand) -> bool:
    """Whether it serves claims when it is told nothing."""
    own = stand.variables.items()
    stand.variables = {key: value for key, value in own if not key.startswith("ENABLE_")}
    try:
        await stand.start()
    except NotMetError:
        return False
    return True


async def _settled(stand: Stand, is_driver: Callable[[], bool]) -> None:
    """Wait for the other of both sides, then a moment for resources that are still missing."""
    plugins = stand.kubelet.plugins
    try:
        seconds = 2 * stand.limits.notice
        await stand.until("", lambda: is_driver() and bool(plugins.resources()), seconds)
    except NotMetError:
        return
    await asyncio.sleep(stand.limits.moment)


def resource(stand: Stand) -> tuple[str, dict[str, PluginDevice]]:
    """The resource with the most healthy devices, and all its devices."""
    plugins = stand.kubelet.plugins
    found = {name: plugins.devices(name) for name in plugins.resources()}
    if not found:
        raise NotMetError("a connected device plugin", "none, or it has sent no devices")
    name = max(sorted(found), key=lambda name: len(healthy(found[name])))
    return name, found[name]


def healthy(devices: dict[str, PluginDevice]) -> list[str]:
    """The IDs of those that can be given away."""
    return [name for name, device in devices.items() if device.health == HEALTHY]


def some(stand: Stand, count: int) -> tuple[str, list[str]]:
    """A resource and that many of its healthy devices. Skips the case where there are fewer."""
    name, devices = resource(stand)
    found = healthy(devices)
    if len(found) < count:
        raise UnsuitedError(f"needs {count} devices, {name} has {len(found)} healthy")
    return name, found[:count]


async def allocated(stand: Stand, name: str, *containers: Sequence[str]) -> list[Any]:
    """Allocate devices, which must succeed with an answer for each container, each of which can be used at once."""
    try:
        answers = await _allocate(stand, name, *containers)
    except RpcError as err:
        asked = "; ".join(", ".join(each) for each in containers)
        raise NotMetError(f"Allocate gives devices {asked} of {name}", str(err)) from err
    if len(answers) != len(containers):
        raise NotMetError(
            f"Allocate answers {len(containers)} containers", f"{len(answers)} answers"
        )
    for answer in answers:
        _check_usable(stand, answer)
    return answers


async def refused(stand: Stand, name: str, devices: Sequence[str], why: str) -> str:
    """Allocate devices, which must be refused with a text."""
    try:
        await _allocate(stand, name, devices)
    except RpcError as err:
        text = str(err).partition(" desc = ")[2].strip()
        if not text:
            raise NotMetError(f"an error with a text, because {why}", str(err)) from err
        return text
    raise NotMetError(f"Allocate refuses {', '.join(devices)}, because {why}", "it gave them")


async def given(stand: Stand, pod: str, name: str, devices: Sequence[str]) -> Any:
    """What a new pod gets with these devices; from now on it has them."""
    answer = (await allocated(stand, name, devices))[0]
    stand.kubelet.plugins.pods[pod] = Held(name, tuple(devices))
    return answer


async def _allocate(stand: Stand, name: str, *containers: Sequence[str]) -> list[Any]:
    endpoint = stand.kubelet.plugins.endpoint(name)
    if not endpoint:
        raise NotMetError(f"a connected device plugin of {name}", "none")
    async with calling(endpoint, stand.limits.call) as plugin:
        return await plugin.allocate(*containers)


def _check_usable(stand: Stand, answer: Any) -> None:
    """An answer is of use when something is in it, and all it names is there now."""
    if not answer.ByteSize():
        raise NotMetError("an answer that brings a device into the container", "an empty one")
    known = Registry([stand.cdi.directory]).refresh().devices
    missing = [each.name for each in answer.cdi_devices if each.name not in known]
    if missing:
        raise NotMetError(
            "CDI device names that a runtime can resolve when it gets them",
            f"{', '.join(missing)} defined by no valid file of {sorted(stand.cdi.files())}",
        )


def _is_alone(stand: Stand) -> bool:
    return "ENABLE_DRA" in stand.variables


async def _patiently(stand: Stand, what: str, holds: Callable[[], bool]) -> None:
    """Wait as long as a start may take; say what the kubelet refused, or what the driver said last."""
    process = stand.driver.process
    try:
        async with asyncio.timeout(stand.limits.start):
            while not holds():
                if process.code is not None:
                    await process.heard()
                    raise NotMetError(what, f"it ended with code {process.code}; {_last(process)}")
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        refusals = [made.error for made in stand.kubelet.plugins.introductions if made.error]
        why = f"the kubelet refuses it: {refusals[-1]}" if refusals else _last(process)
        raise NotMetError(what, f"not so after {stand.limits.start:g} s; {why}") from None


def _last(process: Process) -> str:
    return f"it logged last:\n{process.last_words}"
