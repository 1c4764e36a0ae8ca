"""HEALTH: the stream on which the kubelet hears how devices are (KEP-4680)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

from pydra_testbed.clock import RealClock
from pydra_testbed.conformance.asking import prepared
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.running import V1
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet import KubeletFaults
from pydra_testbed.kubelet.calls import ignore_call
from pydra_testbed.kubelet.instance import DriverInstance
from pydra_testbed.kubelet.link import DriverLink
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.kubelet.services import SERVICES

_OWN = Conditions(own=True)
_STREAMS = 10
_BEAT = 30.0
"""Seconds after which the kubelet no longer believes a report."""
_PATIENT = 2.0


@asynccontextmanager
async def _stream(stand: Stand) -> AsyncIterator[AsyncIterator[Any]]:
    """The stream, as the kubelet opens it. Skips the case for a driver without one."""
    endpoint = stand.driver.registration.endpoint
    link = DriverLink(endpoint, RealClock(), ignore_call, KubeletFaults())
    instance = DriverInstance(stand.driver.name, link, SERVICES[V1], stand.limits.call)
    try:
        opened = cast("AsyncGenerator[Any, None]", instance.health_reports())
        async with aclosing(opened) as reports:
            yield reports
    except RpcError as err:
        if err.code == "Unimplemented":
            raise UnsuitedError("the driver serves no health stream") from err
        raise
    finally:
        await link.close()


async def _report(reports: AsyncIterator[Any], seconds: float) -> list[str]:
    """The devices of the next report."""
    try:
        async with asyncio.timeout(seconds):
            response = await anext(reports)
    except TimeoutError:
        raise NotMetError("a report", f"none within {seconds:g} s") from None
    except StopAsyncIteration:
        raise NotMetError("a stream that stays open", "it ended") from None
    return sorted(entry.device.device_name for entry in response.devices)


def _check_whole(stand: Stand, devices: list[str]) -> None:
    published = {device.name for device in stand.offer.devices}
    if missing := sorted(published - set(devices)):
        raise NotMetError("each report to hold all published devices", f"without {missing}")


async def _tells_all(stand: Stand) -> None:
    async with _stream(stand) as reports:
        _check_whole(stand, await _report(reports, stand.limits.call))
        if stand.limits.moment >= _PATIENT:
            _check_whole(stand, await _report(reports, _BEAT))


async def _ends_with_it(stand: Stand) -> None:
    async with _stream(stand) as reports:
        await _report(reports, stand.limits.call)
        stopping = asyncio.ensure_future(stand.driver.process.stop(stand.limits.stop))
        try:
            async with asyncio.timeout(stand.limits.stop):
                async for _ in reports:
                    continue
        except RpcError:
            pass  # cut, which tells the kubelet the same
        except TimeoutError:
            raise NotMetError("the stream to end with the driver", "it goes on") from None
        if not await stopping:
            raise NotMetError("an end in time with a stream open", "it had to be killed")


async def _bears_kubelets(stand: Stand) -> None:
    for _ in range(_STREAMS):
        async with _stream(stand) as reports:
            await _report(reports, stand.limits.call)
    await prepared(stand, await stand.claim(stand.use(stand.devices(1)[0])))


async def _tells_each(stand: Stand) -> None:
    async with _stream(stand) as first, _stream(stand) as second:
        for reports in (first, second):
            _check_whole(stand, await _report(reports, stand.limits.call))


CASES = (
    Case(
        "HEALTH-01", "reports all devices when the stream opens, and again in time",
        "A device of which the kubelet has not heard for 30 s turns Unknown; the first report also wakes pods that"
        " wait to end.",
        "Send the complete list at once and every ten seconds or so, changed or not.",
        _tells_all,
    ),
    Case(
        "HEALTH-04", "the stream ends with the driver, and does not hold it",
        "When the stream ends the kubelet forgets what it was told, so nobody believes a driver that is gone.",
        "End streams on SIGTERM before you wait for calls in flight.",
        _ends_with_it, _OWN,
    ),
    Case(
        "HEALTH-05", "kubelets that come and go disturb nothing",
        "The kubelet opens the stream again five seconds after each end, and after each of its own restarts.",
        "Free what belongs to a stream when its client is gone.",
        _bears_kubelets,
    ),
    Case(
        "HEALTH-06", "two streams at once hear the same",
        "During a restart the old stream may still be open when the new one comes; shares of a device are one device.",
        "Keep one list, and nothing but a wake-up for each stream.",
        _tells_each,
    ),
)  # fmt: skip
