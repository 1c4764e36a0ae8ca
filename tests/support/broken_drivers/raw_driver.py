"""A driver on plain gRPC, none of our framework: what the conformance kit sees of a stranger's.

`python raw_driver.py` behaves; `python raw_driver.py FAULT...` makes these mistakes, on purpose. Two cards that one claim
may have, and one that claims share.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import yaml

from pydra_core._proto import dra_health_v1alpha1_pb2, dra_v1_pb2, dra_v1beta1_pb2
from pydra_core._proto import pluginregistration_v1_pb2 as registration

NAME = "raw.example.com"
CARDS = ("card-0", "card-1", "shared-0")
FAULTS = {
    "lists-v1beta1-first",
    "leaves-its-socket",
    "dies-of-a-refusal",
    "never-shortens",
    "sweeps-all-sockets",
    "lists-health-it-does-not-serve",
    "new-answer-each-time",
    "fails-the-whole-call",
    "forgets-a-claim",
    "takes-the-first-device",
    "ignores-the-uid",
    "one-at-a-time",
    "keeps-subrequest-names",
    "prefers-the-class",
    "takes-unknown-fields",
    "forgets-share-ids",
    "admins-take-devices",
    "never-gets-over-an-error",
    "writes-specs-late",
    "looks-at-consumers",
    "leaves-spec-files",
    "undoes-all-shares",
    "undoes-without-waiting",
    "loses-its-journal",
    "works-in-the-call",
    "fails-on-unknown-claims",
    "asks-before-undoing",
    "serves-its-first-kubelet-alone",
    "refuses-a-stale-socket",
    "dies-of-garbage",
}
MADE = set(sys.argv[1:])
ROOT, CDI = Path(os.environ["KUBELET_ROOT"]), Path(os.environ["CDI_DIR"])
POD = os.environ.get("POD_UID", "")
DATA = ROOT / "plugins" / NAME
COUNTER = itertools.count()
PREFACE = b"PRI * HTTP/2.0"
REGISTERED = []


class ClaimError(Exception):
    """Becomes the claim's error."""


def fitting(path: Path, shorter: Path) -> Path:
    fits = len(os.fsencode(path)) <= 107 or "never-shortens" in MADE
    return path if fits else shorter


def sockets() -> tuple[Path, Path]:
    own = f"-{POD}" if POD else ""
    digest = base64.urlsafe_b64encode(hashlib.sha256((NAME + own).encode()).digest()[:12]).decode()
    registry = ROOT / "plugins_registry"
    return (
        fitting(registry / f"{NAME}{own}-reg.sock", registry / f"{digest}-reg.sock"),
        fitting(DATA / f"dra{own}.sock", ROOT / "plugins" / f"{digest}.sock"),
    )


def call(method: str, path: str, body: object = None) -> dict:
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    url = config["clusters"][0]["cluster"]["server"] + path
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=8) as answer:
        return json.load(answer)


def publish() -> None:
    """Once; a slice that is there stays."""
    devices = [
        {"name": card, "allowMultipleAllocations": True} if "shared" in card else {"name": card}
        for card in CARDS
    ]
    node = os.environ["NODE_NAME"]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{NAME}"},
        "spec": {"driver": NAME, "nodeName": node, "pool": pool, "devices": devices},
    }
    try:
        call("POST", "/apis/resource.k8s.io/v1/resourceslices", body)
    except urllib.error.HTTPError as err:
        if err.code != 409:
            raise


def mode_of(entries: list[dict], names: set[str]) -> str:
    """The last of the claim's parameters, else of the class's, strictly."""
    mode = "plain"
    wins = "FromClass" if "prefers-the-class" in MADE else "FromClaim"
    for entry in sorted(entries, key=lambda e: e["source"] == wins):
        if entry.get("opaque", {}).get("driver") != NAME:
            continue
        parameters = entry["opaque"]["parameters"]
        for key in parameters.keys() - {"mode"}:
            if "takes-unknown-fields" not in MADE:
                raise ClaimError(f"parameters: unknown field {key}")
        if not entry.get("requests") or names & set(entry["requests"]):
            mode = parameters.get("mode", mode)
    return mode


class Store:
    """Prepared claims: one file each, shared by two instances."""

    def path(self, uid: str) -> Path:
        return DATA / f"{uid}.json"

    def get(self, uid: str) -> list[dict] | None:
        path = self.path(uid)
        return json.loads(path.read_text()) if path.exists() else None

    def holders(self, card: str) -> list[str]:
        found = [(p.stem, json.loads(p.read_text())) for p in DATA.glob("*.json")]
        return [uid for uid, kept in found for d in kept if d["device"] == card and d["exclusive"]]

    def put(self, uid: str, devices: list[dict]) -> None:
        temporary = DATA / f".{uid}"
        temporary.write_text(json.dumps(devices))
        temporary.rename(self.path(uid))


def write_spec(uid: str, devices: list[dict]) -> None:
    body = {
        "cdiVersion": "0.5.0",
        "kind": f"{NAME}/claim",
        "devices": [
            {"name": d["cdi"], "containerEdits": {"env": [f"RAW_MODE={d['mode']}"]}}
            for d in devices
        ],
    }
    temporary = CDI / f".{uid}"
    temporary.write_text(json.dumps(body))
    temporary.rename(CDI / f"raw-{uid}.json")


STORE, LOCKS, ALL, FAILED = Store(), {}, asyncio.Lock(), set()


def lock_of(claim) -> asyncio.Lock:
    return ALL if "one-at-a-time" in MADE else LOCKS.setdefault(claim.uid, asyncio.Lock())


async def prepare_one(claim) -> list[dict]:
    async with lock_of(claim):
        kept = STORE.get(claim.uid)
        if claim.uid in FAILED:
            raise ClaimError(f"claim {claim.name}: failed before")
        if kept is None:
            if "never-gets-over-an-error" in MADE:
                FAILED.add(claim.uid)
            kept = await allocated(claim)
            FAILED.discard(claim.uid)
            STORE.put(claim.uid, kept)
        elif "new-answer-each-time" in MADE:
            for device in kept:
                device["cdi"] += f"-{next(COUNTER)}"
            STORE.put(claim.uid, kept)
        if "writes-specs-late" in MADE:
            asyncio.get_running_loop().call_later(0.2, write_spec, claim.uid, kept)
        else:
            write_spec(claim.uid, kept)
        return kept


async def allocated(claim) -> list[dict]:
    path = f"/apis/resource.k8s.io/v1/namespaces/{claim.namespace}/resourceclaims/{claim.name}"
    try:
        body = await asyncio.to_thread(call, "GET", path)
    except (OSError, ValueError) as err:
        raise ClaimError(f"claim {claim.name}: cannot be read: {err}") from err
    if body["metadata"]["uid"] != claim.uid and "ignores-the-uid" not in MADE:
        raise ClaimError(f"claim {claim.name}: was replaced")
    if "looks-at-consumers" in MADE and not body["status"].get("reservedFor"):
        raise ClaimError(f"claim {claim.name}: nobody uses it")
    devices = body.get("status", {}).get("allocation", {}).get("devices", {})
    results = [r for r in devices.get("results", []) if r["driver"] == NAME]
    if not results:
        raise ClaimError(f"claim {claim.name}: has no allocation")
    return [taken(claim.uid, result, devices.get("config", [])) for result in results]


def taken(uid: str, result: dict, config: list[dict]) -> dict:
    device, request = result["device"], result["request"]
    if "takes-the-first-device" in MADE:
        device = CARDS[0]
    if device not in CARDS:
        raise ClaimError(f"device {device}: is gone")
    admin = result.get("adminAccess") and "admins-take-devices" not in MADE
    exclusive = "shared" not in device and not admin
    others = set(STORE.holders(device)) - {uid} if exclusive else ()
    if others and "takes-the-first-device" not in MADE:
        raise ClaimError(f"device {device}: still in the hands of {', '.join(others)}")
    share = result.get("shareID", "")
    base = request if "keeps-subrequest-names" in MADE else request.partition("/")[0]
    return {
        "device": device,
        "pool": result["pool"],
        "request": base,
        "share": share,
        "exclusive": exclusive,
        "cdi": "-".join(part for part in (uid, device, share) if part),
        "mode": mode_of(config, {request, base}),
    }


def remove_specs() -> None:
    for path in CDI.glob("raw-*"):
        path.unlink()


async def undo_one(claim) -> None:
    if "asks-before-undoing" in MADE:
        path = f"/apis/resource.k8s.io/v1/namespaces/{claim.namespace}/resourceclaims/{claim.name}"
        try:
            await asyncio.to_thread(call, "GET", path)
        except (OSError, ValueError) as err:
            raise ClaimError(f"claim {claim.name}: cannot be read: {err}") from err
    async with asyncio.Lock() if "undoes-without-waiting" in MADE else lock_of(claim):
        if "fails-on-unknown-claims" in MADE and STORE.get(claim.uid) is None:
            raise ClaimError(f"claim {claim.name}: is not prepared")
        if "undoes-all-shares" in MADE:
            remove_specs()
        if "leaves-spec-files" not in MADE:
            (CDI / f"raw-{claim.uid}.json").unlink(missing_ok=True)
        STORE.path(claim.uid).unlink(missing_ok=True)


async def shielded(work):
    if "works-in-the-call" in MADE:
        return await work
    return await asyncio.shield(asyncio.ensure_future(work))


async def answers(claims, work) -> dict[str, object]:
    asked = list(claims)[:-1] if "forgets-a-claim" in MADE and len(claims) > 1 else list(claims)
    done = await asyncio.gather(*(shielded(work(c)) for c in asked), return_exceptions=True)
    bad = [answer for answer in done if isinstance(answer, BaseException)]
    if any(not isinstance(error, ClaimError) for error in bad):
        raise bad[0]
    if bad and "fails-the-whole-call" in MADE and work is prepare_one:
        raise bad[0]
    return dict(zip((c.uid for c in asked), done, strict=True))


def dra(api):
    async def prepare(request, _):
        if "serves-its-first-kubelet-alone" in MADE and len(REGISTERED) > 1:
            raise RuntimeError("another kubelet")
        found = await answers(request.claims, prepare_one)
        return api.NodePrepareResourcesResponse(
            claims={uid: prepared(api, answer) for uid, answer in found.items()}
        )

    async def unprepare(request, _):
        found = await answers(request.claims, undo_one)
        return api.NodeUnprepareResourcesResponse(
            claims={
                uid: api.NodeUnprepareResourceResponse(error=str(answer or ""))
                for uid, answer in found.items()
            }
        )

    return service(
        api, "DRAPlugin", {"NodePrepareResources": prepare, "NodeUnprepareResources": unprepare}
    )


def prepared(api, answer):
    if isinstance(answer, ClaimError):
        return api.NodePrepareResourceResponse(error=str(answer))
    made = []
    for kept in answer:
        share = {"share_id": kept["share"]} if kept["share"] and api is dra_v1_pb2 else {}
        if "forgets-share-ids" in MADE:
            share = {}
        made.append(
            api.Device(
                request_names=[kept["request"]],
                pool_name=kept["pool"],
                device_name=kept["device"],
                cdi_device_ids=[f"{NAME}/claim={kept['cdi']}"],
                **share,
            )
        )
    return api.NodePrepareResourceResponse(devices=made)


def service(api, name, methods):
    descriptor = api.DESCRIPTOR.services_by_name[name]
    return grpc.method_handlers_generic_handler(
        descriptor.full_name,
        {
            method: grpc.unary_unary_rpc_method_handler(
                handler,
                request_deserializer=getattr(
                    api, descriptor.methods_by_name[method].input_type.name
                ).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for method, handler in methods.items()
        },
    )


def health():
    api = dra_health_v1alpha1_pb2

    async def watch(*_):
        named = api.DeviceIdentifier(pool_name=os.environ["NODE_NAME"], device_name=CARDS[0])
        yield api.NodeWatchResourcesResponse(
            devices=[api.DeviceHealth(device=named, health=api.HEALTHY)]
        )
        await asyncio.Event().wait()

    handler = grpc.unary_stream_rpc_method_handler(
        watch, response_serializer=lambda message: message.SerializeToString()
    )
    listed = {} if "lists-health-it-does-not-serve" in MADE else {"NodeWatchResources": handler}
    return grpc.method_handlers_generic_handler("v1alpha1.DRAResourceHealth", listed)


def registrar(endpoint: Path, stop: asyncio.Event):
    versions = ["v1.DRAPlugin", "v1beta1.DRAPlugin", "v1alpha1.DRAResourceHealth"]
    if "lists-v1beta1-first" in MADE:
        versions.reverse()

    async def info(*_):
        return registration.PluginInfo(
            type="DRAPlugin", name=NAME, endpoint=str(endpoint), supported_versions=versions
        )

    async def notified(status, _):
        if status.plugin_registered:
            REGISTERED.append(status)
            await asyncio.to_thread(publish)
        elif "dies-of-a-refusal" in MADE:
            stop.set()
        return registration.RegistrationStatusResponse()

    return service(
        registration, "Registration", {"GetInfo": info, "NotifyRegistrationStatus": notified}
    )


def make_room(path: Path) -> None:
    if "refuses-a-stale-socket" in MADE and path.exists():
        sys.exit(f"{path}: address already in use")
    path.parent.mkdir(parents=True, exist_ok=True)
    if "sweeps-all-sockets" in MADE:
        for other in path.parent.glob("*.sock"):
            other.unlink()
    path.unlink(missing_ok=True)


async def listening(path: Path, *handlers) -> grpc.aio.Server:
    make_room(path)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    return server


async def listening_to_all(path: Path, *handlers) -> grpc.aio.Server:
    """What comes to the socket is looked at first, and garbage is the end."""
    behind = path.parent.parent / f"{os.getpid()}.sock"
    server = await listening(behind, *handlers)

    async def pump(reader, writer):
        while part := await reader.read(1 << 16):
            writer.write(part)
        writer.close()

    async def come(reader, writer):
        first = await reader.read(1 << 16)
        if not first.startswith(PREFACE):
            os._exit(4)
        inner, outer = await asyncio.open_unix_connection(behind)
        outer.write(first)
        await asyncio.gather(pump(reader, outer), pump(inner, writer), return_exceptions=True)

    make_room(path)
    server.front = await asyncio.start_unix_server(come, path)
    return server


async def main() -> None:
    if "loses-its-journal" in MADE:
        for path in DATA.glob("*.json"):
            path.unlink()
    DATA.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    reg, endpoint = sockets()
    open_to = listening_to_all if "dies-of-garbage" in MADE else listening
    servers = [
        await listening(endpoint, dra(dra_v1_pb2), dra(dra_v1beta1_pb2), health()),
        await open_to(reg, registrar(endpoint, stop)),
    ]
    await stop.wait()
    for server, path in zip(reversed(servers), (reg, endpoint), strict=True):
        if "leaves-its-socket" in MADE and path == reg:
            continue
        path.unlink(missing_ok=True)
        await server.stop(0)
    os._exit(0)


if __name__ == "__main__":
    assert MADE <= FAULTS, MADE - FAULTS
    asyncio.run(main())
