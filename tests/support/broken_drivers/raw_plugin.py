"""A device plugin on plain gRPC, none of our framework: what the conformance kit sees of a stranger's, in Go or anything else.

`python raw_plugin.py` serves three cards as extended resource and nothing else; `dual` among the arguments makes it `raw_driver`
as well, unless ENABLE_DRA is false, and with `splits` the last card is the plugin's alone and the others are for claims (`shares-one`: all are). Every
other argument is a mistake made on purpose. A card is sick while there is a file `sick-CARD` in the kubelet's root.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.error
from pathlib import Path

import grpc
import grpc.aio
import raw_driver as dra

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_core._proto import pluginregistration_v1_pb2 as registration
from pydra_core._proto import podresources_v1_pb2 as held

MISTAKES = {
    "registers-before-it-serves",
    "lies-about-options",
    "trusts-inodes",
    "lists-changes-alone",
    "keeps-new-streams-waiting",
    "says-nothing-of-illness",
    "new-answer-each-time",
    "gives-what-it-never-listed",
    "answers-one-container",
    "writes-specs-late",
    "refuses-what-it-gave",
    "prefers-what-is-taken",
    "prefers-too-few",
    "hints-minus-one",
    "hints-elsewhere",
    "introduces-itself-as-a-driver",
    "gives-what-claims-have",
    "shows-nothing-to-pods",
    "shows-nothing-to-claims",
    "never-lets-go",
    "registers-once",
    "renames-its-cards",
    "splits-names-alone",
}
MODES = {"dual", "splits", "shares-one", "hides-its-nodes"}
MADE = set(sys.argv[1:])
assert MISTAKES | MODES >= MADE, MADE - MISTAKES
RESOURCE = "raw.example.com/card"
CARDS = ("card-0", "card-1", "card-2")
IS_SPLIT = "splits" in MADE
CLAIMED = CARDS[:2] if IS_SPLIT else CARDS
COUNTED = CARDS[2:] if IS_SPLIT or "shares-one" in MADE else CARDS
FOLDER = dra.ROOT / "device-plugins"
KUBELET = FOLDER / "kubelet.sock"
PODS = dra.ROOT / "pod-resources" / "kubelet.sock"
OWN = FOLDER / f"raw{dra.POD[:8]}.sock"
IS_DUAL = "dual" in MADE and os.environ.get("ENABLE_DRA") != "false"
SUFFIX = f"-{os.getpid()}" if "renames-its-cards" in MADE else ""
GRACE = 0.5
LOOK = 0.02
CHANGED = asyncio.Condition()
STREAMS, OPENED = set(), []
COUNTER = iter(range(1 << 30))
GIVEN_AT = {}


def card_of(name: str) -> str:
    return name.removesuffix(SUFFIX)


def holder(card: str) -> str:
    return f"pod-{card}"


def numa(card: str) -> int:
    return CARDS.index(card)


def is_sick(card: str) -> bool:
    if (dra.ROOT / f"sick-{card}").exists() and "says-nothing-of-illness" not in MADE:
        return True
    others = set(dra.STORE.holders(card)) - {holder(card)}
    return bool(others) and "shows-nothing-to-pods" not in MADE


def listed() -> list:
    found = []
    for card in COUNTED:
        device = messages.Device(
            ID=card + SUFFIX, health="Unhealthy" if is_sick(card) else "Healthy"
        )
        hint = numa(card)
        if "hints-minus-one" in MADE:
            hint = -1
        elif "hints-elsewhere" in MADE:
            hint = 7
        device.topology.nodes.add(ID=hint)
        found.append(device)
    return found


def node(card: str) -> str:
    return f"/dev/raw/{card}"


def write_claim(uid: str, devices) -> None:
    """In the place of `raw_driver`'s: a claim gets its cards' nodes."""
    body = {
        "cdiVersion": "0.5.0",
        "kind": f"{dra.NAME}/claim",
        "devices": [
            {
                "name": d["cdi"],
                "containerEdits": {
                    "env": [f"RAW_MODE={d['mode']}"],
                    "deviceNodes": [{"path": "/dev/raw/ctl"}, {"path": node(d["device"])}],
                },
            }
            for d in devices
        ],
    }
    temporary = dra.CDI / f".{uid}"
    temporary.write_text(json.dumps(body))
    temporary.rename(dra.CDI / f"raw-{uid}.json")


def write_spec(cards) -> None:
    body = {
        "cdiVersion": "0.5.0",
        "kind": f"{dra.NAME}/card",
        "devices": [{"name": c, "containerEdits": {"env": [f"CARD_{c[-1]}=1"]}} for c in cards],
    }
    temporary = dra.CDI / ".cards"
    temporary.write_text(json.dumps(body))
    temporary.rename(dra.CDI / "raw-cards.json")


class RefusalError(Exception):
    """Becomes the call's error."""


def take(name: str) -> str:
    card = card_of(name)
    if card not in CARDS:
        if "gives-what-it-never-listed" in MADE:
            return CARDS[0]
        raise RefusalError(f"device {name}: is none of {', '.join(CARDS)}")
    others = set(dra.STORE.holders(card)) - {holder(card)}
    if others and "gives-what-claims-have" not in MADE:
        raise RefusalError(f"device {name}: claim {min(others)} has it")
    if "refuses-what-it-gave" in MADE and dra.STORE.get(holder(card)):
        raise RefusalError(f"device {name}: was given already")
    dra.STORE.put(holder(card), [{"device": card, "exclusive": True}])
    GIVEN_AT[card] = asyncio.get_running_loop().time()
    return card


def answer(names) -> messages.ContainerAllocateResponse:
    cards = sorted(take(name) for name in names)
    extra = f"-{next(COUNTER)}" if "new-answer-each-time" in MADE else ""
    nodes = ["/dev/raw/ctl", *map(node, CARDS[:1] if "splits-names-alone" in MADE else cards)]
    if "hides-its-nodes" in MADE:
        nodes = []
    return messages.ContainerAllocateResponse(
        envs={"CARDS": ",".join(cards) + extra},
        devices=[
            messages.DeviceSpec(host_path=n, container_path=n, permissions="rw") for n in nodes
        ],
        cdi_devices=[messages.CDIDevice(name=f"{dra.NAME}/card={card}") for card in cards],
    )


async def allocate(request, context):
    try:
        answers = [answer(asked.devices_ids) for asked in request.container_requests]
    except RefusalError as refusal:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refusal))
    if "writes-specs-late" in MADE:
        asyncio.get_running_loop().call_later(0.2, write_spec, CARDS)
    else:
        write_spec(CARDS)
    del answers[1 if "answers-one-container" in MADE else len(answers) :]
    await changed()
    return messages.AllocateResponse(container_responses=answers)


async def prefer(request, _context):
    (asked,) = request.container_requests
    rest = [name for name in asked.available_deviceIDs if name not in asked.must_include_deviceIDs]
    chosen = [*asked.must_include_deviceIDs, *rest][: asked.allocation_size]
    if "prefers-what-is-taken" in MADE:
        chosen = [card + SUFFIX for card in CARDS][: asked.allocation_size]
    if "prefers-too-few" in MADE:
        chosen = chosen[:1]
    return messages.PreferredAllocationResponse(
        container_responses=[messages.ContainerPreferredAllocationResponse(deviceIDs=chosen)]
    )


async def options(_request, _context):
    return messages.DevicePluginOptions(get_preferred_allocation_available=True)


async def pre_start(_request, _context):
    return messages.PreStartContainerResponse()


async def changed() -> None:
    async with CHANGED:
        CHANGED.notify_all()


async def list_and_watch(_request, context):
    STREAMS.add(context)
    OPENED.append(context.peer())
    context.add_done_callback(lambda _: STREAMS.discard(context))
    if "keeps-new-streams-waiting" in MADE and len(STREAMS) > 1:
        await asyncio.Event().wait()
    told = []
    while True:
        found = listed()
        if found != told:
            news = [each for each in found if each not in told]
            told = found
            yield messages.ListAndWatchResponse(
                devices=news if "lists-changes-alone" in MADE else found
            )
        await asyncio.sleep(LOOK)


def plugin():
    methods = {
        "GetDevicePluginOptions": options,
        "Allocate": allocate,
        "GetPreferredAllocation": prefer,
        "PreStartContainer": pre_start,
    }
    unary = dra.service(messages, "DevicePlugin", methods)
    stream = grpc.unary_stream_rpc_method_handler(
        list_and_watch,
        request_deserializer=messages.Empty.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    return unary, grpc.method_handlers_generic_handler(
        "v1beta1.DevicePlugin", {"ListAndWatch": stream}
    )


async def bind(path: Path, *handlers) -> grpc.aio.Server:
    """On a name of its own: gRPC takes the file away when it stops, and it may be another instance's by then."""
    behind = path.with_name(f".{os.getpid()}-{next(COUNTER)}")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(f"unix:{behind}")
    await server.start()
    behind.rename(path)
    return server


async def called(socket: Path, method: str, request, parse):
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        return await channel.unary_unary(
            method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=parse,
        )(request, timeout=5)


async def register() -> bool:
    told = messages.DevicePluginOptions(pre_start_required="lies-about-options" in MADE)
    request = messages.RegisterRequest(
        version="v1beta1", endpoint=OWN.name, resource_name=RESOURCE, options=told
    )
    try:
        await called(KUBELET, "/v1beta1.Registration/Register", request, messages.Empty.FromString)
    except grpc.aio.AioRpcError:
        return False
    return True


def identity(path: Path):
    """What another kubelet's socket differs in."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino if "trusts-inodes" in MADE else (status.st_ino, status.st_ctime_ns)


async def serve_at_kubelet() -> None:
    """Bound and registered, again whenever something says that the kubelet is another one, or let us go."""
    server, known, opened = None, None, 0
    while True:
        now = identity(KUBELET)
        is_cut = len(OPENED) > opened and not STREAMS and "registers-once" not in MADE
        is_gone = server is None or (not OWN.exists() and "trusts-inodes" not in MADE)
        if now is not None and (now != known or is_cut or is_gone):
            opened = len(OPENED)
            if "registers-before-it-serves" in MADE:
                registering = asyncio.ensure_future(register())
                await asyncio.sleep(0.3)
            if server is None or not OWN.exists():
                if server is not None:
                    await server.stop(0)
                server = await bind(OWN, *plugin())
            if "registers-before-it-serves" in MADE:
                is_done = await registering
            else:
                is_done = await register()
            if is_done or "trusts-inodes" in MADE:
                known = now
        await asyncio.sleep(LOOK)


async def serve_in_registry() -> None:
    """For a kubelet without a folder for device plugins."""
    endpoint = dra.ROOT / "plugins" / "raw-card.sock"
    server = await bind(endpoint, *plugin())
    kind = "DRAPlugin" if "introduces-itself-as-a-driver" in MADE else "DevicePlugin"

    async def info(*_):
        return registration.PluginInfo(
            type=kind, name=RESOURCE, endpoint=str(endpoint), supported_versions=["v1beta1"]
        )

    async def notified(*_):
        return registration.RegistrationStatusResponse()

    methods = {"GetInfo": info, "NotifyRegistrationStatus": notified}
    reg = dra.ROOT / "plugins_registry" / "raw-card-reg.sock"
    introduces = dra.service(registration, "Registration", methods)
    servers = [server, await bind(reg, introduces)]
    while True:
        if not endpoint.exists():
            await asyncio.gather(*(each.stop(0) for each in servers))
            servers = [await bind(endpoint, *plugin()), await bind(reg, introduces)]
        await asyncio.sleep(LOOK)


async def release() -> None:
    """What no pod has any more, says pod-resources."""
    while True:
        await asyncio.sleep(LOOK)
        if "never-lets-go" in MADE:
            continue
        try:
            told = await called(
                PODS,
                "/v1.PodResourcesLister/List",
                held.ListPodResourcesRequest(),
                held.ListPodResourcesResponse.FromString,
            )
        except grpc.aio.AioRpcError:
            continue
        kept = {
            card_of(name)
            for pod in told.pod_resources
            for container in pod.containers
            for device in container.devices
            for name in device.device_ids
        }
        now = asyncio.get_running_loop().time()
        for card in set(CARDS) - kept:
            if now - GIVEN_AT.get(card, 0) > GRACE:
                dra.STORE.path(holder(card)).unlink(missing_ok=True)


def slice_body(generation: int) -> dict:
    node = os.environ["NODE_NAME"]
    devices = []
    for card in CLAIMED:
        attribute = {"resource.kubernetes.io/numaNode": {"int": numa(card)}}
        devices.append({"name": card, "attributes": attribute})
        if dra.STORE.get(holder(card)) and "shows-nothing-to-claims" not in MADE:
            devices[-1]["taints"] = [{"key": "raw.example.com/pod", "effect": "NoSchedule"}]
    pool = {"name": node, "generation": generation, "resourceSliceCount": 1}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{dra.NAME}"},
        "spec": {"driver": dra.NAME, "nodeName": node, "pool": pool, "devices": devices},
    }


def publish() -> None:
    """In the place of `raw_driver`'s: taints come and go."""
    path = "/apis/resource.k8s.io/v1/resourceslices"
    body = slice_body(1)
    try:
        dra.call("POST", path, body)
    except urllib.error.HTTPError as err:
        if err.code != 409:
            raise
        there = dra.call("GET", f"{path}/{body['metadata']['name']}")
        if [d.get("taints") for d in there["spec"]["devices"]] == [
            d.get("taints") for d in body["spec"]["devices"]
        ]:
            return
        there["spec"]["devices"] = body["spec"]["devices"]
        dra.call("PUT", f"{path}/{body['metadata']['name']}", there)


async def keep_published() -> None:
    while True:
        await asyncio.sleep(5 * LOOK)
        if dra.REGISTERED:
            try:
                await asyncio.to_thread(publish)
            except OSError:
                continue


async def main() -> None:
    dra.DATA.mkdir(parents=True, exist_ok=True)
    work = [release()]
    if FOLDER.exists():
        work.append(serve_at_kubelet())
    else:
        work.append(serve_in_registry())
    if IS_DUAL:
        dra.CARDS, dra.publish, dra.write_spec = CLAIMED, publish, write_claim
        work += [dra.main(), keep_published()]
    await asyncio.gather(*work)


asyncio.run(main())
