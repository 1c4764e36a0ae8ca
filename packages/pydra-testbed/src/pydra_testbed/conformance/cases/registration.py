"""REG-01 to REG-05 and REG-10: the kubelet finds the driver, loses it and finds it again."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import grpc

from pydra_core._proto import dra_health_v1alpha1_pb2, pluginregistration_v1_pb2
from pydra_testbed.clock import RealClock
from pydra_testbed.conformance.asking import prepared, unprepared
from pydra_testbed.conformance.model import Case, NotMetError
from pydra_testbed.conformance.running import V1, V1BETA1
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.rpc import LOCALHOST, Method, RpcError, open_channel, unary
from pydra_testbed.kubelet.services import SERVICES

_SERVICE = "pluginregistration.Registration"
_GET_INFO = Method(_SERVICE, "GetInfo", pluginregistration_v1_pb2.PluginInfo.FromString)
_NOTIFY = Method(
    _SERVICE,
    "NotifyRegistrationStatus",
    pluginregistration_v1_pb2.RegistrationStatusResponse.FromString,
)
_HEALTH = "v1alpha1.DRAResourceHealth"
_CALLS = 8


async def _said(stand: Stand, method: Method, request: Any) -> Any:
    channel = open_channel(stand.driver.registration.socket, LOCALHOST)
    try:
        return await unary(channel, method, request, stand.limits.info, RealClock())
    finally:
        await channel.close()


async def _introduces_itself(stand: Stand) -> None:
    try:
        info = await _said(stand, _GET_INFO, pluginregistration_v1_pb2.InfoRequest())
    except RpcError as err:
        raise NotMetError("GetInfo answered within the kubelet's second", str(err)) from err
    versions = tuple(info.supported_versions)
    if info.type != "DRAPlugin" or not info.name:
        raise NotMetError("type DRAPlugin and a name", f"type {info.type!r}, name {info.name!r}")
    known = [version for version in versions if version in SERVICES]
    if known[:1] != [V1]:
        raise NotMetError(f"{V1} before every other version the kubelet knows", str(versions))
    _check_endpoint(Path(info.endpoint or stand.driver.registration.socket))


def _check_endpoint(endpoint: Path) -> None:
    if not endpoint.is_absolute() or not endpoint.is_socket():
        raise NotMetError("an endpoint that is a socket", str(endpoint))


async def _survives_a_kubelet(stand: Stand) -> None:
    await stand.restart_kubelet()
    await prepared(stand, await stand.claim(stand.use(stand.devices(1)[0])))


async def _survives_itself(stand: Stand) -> None:
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    for kill in (False, True):
        process = stand.driver.process
        await (process.kill() if kill else process.stop(stand.limits.stop))
        await stand.start()
        await prepared(stand, ref)
        await unprepared(stand, ref)


async def _recovers_from_get_info(stand: Stand) -> None:
    _, writer = await asyncio.open_unix_connection(stand.driver.registration.socket)
    writer.write(b"\x00" * 64)  # a client that is none, and hangs up
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.close()
    stand.kubelet.faults.cancel("GetInfo", times=2)
    await stand.restart_kubelet()


async def _recovers_from_notify(stand: Stand) -> None:
    stand.kubelet.faults.cancel("NotifyRegistrationStatus", times=2)
    await stand.restart_kubelet()
    refusal = pluginregistration_v1_pb2.RegistrationStatus(error="conformance: refused")
    with contextlib.suppress(RpcError):  # the Go helper answers a refusal with an error
        await _said(stand, _NOTIFY, refusal)
    await stand.restart_kubelet()


async def _takes_one_connection(stand: Stand) -> None:
    channel = open_channel(stand.driver.registration.endpoint, LOCALHOST)
    try:
        async with asyncio.timeout(stand.limits.call):
            await channel.channel_ready()
            await _all_services(stand, channel)
    except (RpcError, TimeoutError, grpc.aio.AioRpcError) as err:
        why = str(err) or f"no answer within {stand.limits.call:g} s"
        raise NotMetError("all services that it lists answer on one connection", why) from None
    finally:
        await channel.close()


async def _all_services(stand: Stand, channel: Any) -> None:
    """Ask everything at once; the connection must still be the same afterwards."""
    lost = asyncio.ensure_future(channel.wait_for_state_change(channel.get_state()))
    try:
        versions = [v for v in stand.driver.versions if v in SERVICES] * _CALLS
        await asyncio.gather(*(_ask_nothing(stand, channel, version) for version in versions))
        if _HEALTH in stand.driver.versions:
            await _first_health(stand, channel)
        if lost.done():
            raise NotMetError("a connection that stays", f"it became {channel.get_state()}")
    finally:
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)


async def _ask_nothing(stand: Stand, channel: Any, version: str) -> None:
    service = SERVICES[version]
    seconds, clock = stand.limits.call, RealClock()
    await unary(channel, service.prepare, service.prepare_request(()), seconds, clock)
    await unary(channel, service.unprepare, service.unprepare_request(()), seconds, clock)


async def _first_health(stand: Stand, channel: Any) -> None:
    call = channel.unary_stream(
        f"/{_HEALTH}/NodeWatchResources",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=dra_health_v1alpha1_pb2.NodeWatchResourcesResponse.FromString,
    )(dra_health_v1alpha1_pb2.NodeWatchResourcesRequest(), timeout=stand.limits.call)
    if await call.read() is grpc.aio.EOF:
        raise NotMetError("a health stream that begins with the devices", "it ended at once")
    call.cancel()


CASES = (
    Case(
        "REG-01", "registers, and lists v1 first",
        "The kubelet walks the driver's list and takes the first service it knows, not the best (plugin manager,"
        " validateSupportedServices). GetInfo has one second.",
        f"Answer GetInfo with type DRAPlugin, the endpoint's absolute path, and {V1} before {V1BETA1}; start"
        " answering before slow discovery.",
        _introduces_itself,
    ),
    Case(
        "REG-02", "registers again after a restart of the kubelet",
        "A new kubelet knows nobody and asks every socket in plugins_registry.",
        "Keep the registration socket served for as long as the driver runs.",
        _survives_a_kubelet,
    ),
    Case(
        "REG-03", "registers again after its own restart, stopped or killed, on the same path",
        "The kubelet notices a socket that is bound anew; a killed driver leaves its socket file behind.",
        "Unlink a stale socket before binding, and serve the DRA socket before the registration socket.",
        _survives_itself,
    ),
    Case(
        "REG-04", "recovers from GetInfo calls that fail",
        "The kubelet gives a call up after a second and comes back with growing pauses.",
        "Let a cancelled or garbled call end alone; keep serving.",
        _recovers_from_get_info,
    ),
    Case(
        "REG-05", "recovers from NotifyRegistrationStatus calls that fail, and from a refusal",
        "A kubelet whose notification fails de-registers the driver and asks again.",
        "Never raise in NotifyRegistrationStatus, and do not exit when the kubelet refuses.",
        _recovers_from_notify,
    ),
    Case(
        "REG-10", "serves everything on one gRPC connection",
        "The kubelet holds one connection for claims, in both versions, and health.",
        "Register all services that GetInfo lists with the one server behind the endpoint.",
        _takes_one_connection,
    ),
)  # fmt: skip
