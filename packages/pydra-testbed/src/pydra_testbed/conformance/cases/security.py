"""SEC-01 to SEC-04: a driver without privileges, with few rights, that keeps secrets to itself."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any

from pydra_core._api.access import find
from pydra_core._api.client import KubeClient
from pydra_core.errors import ApiError
from pydra_testbed.conformance import unprivileged
from pydra_testbed.conformance.access import NODE, confinement
from pydra_testbed.conformance.asking import prepared, unprepared
from pydra_testbed.conformance.claims import opaque
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.conformance.subject import Parameters
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.objects import KubeObject

_SLICES = "/apis/resource.k8s.io/v1/resourceslices"
_SECURED = Conditions(own=True, starts=False, secured=True)
_POLICY_KINDS = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
_FORBIDDEN = "is forbidden"
_CREATED = 201
_SHORTEST_SECRET = 8
_DEVICES = 4
_DENIED = (403, 422)


async def _unprivileged(stand: Stand) -> None:
    await stand.start(wrap=(sys.executable, "-I", "-S", unprivileged.__file__))
    if os.geteuid() == 0 and _capabilities(stand.driver.process.child.pid):
        raise UnsuitedError("this machine lets nobody drop capabilities")
    await stand.published()
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    stand.cdi.check(await prepared(stand, ref))
    await unprepared(stand, ref)


def _capabilities(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(found.split()[1], 16)


async def _confined(stand: Stand) -> None:
    _check_ours(stand)
    for kind, body in zip(_POLICY_KINDS, confinement(stand.profile.name), strict=True):
        await stand.server.local.create(kind, body)
    await stand.start()
    await stand.published()
    for what, node, driver in (
        ("another node", "node-2", stand.driver.name),
        ("another driver", NODE, "other.conformance.example"),
    ):
        status = await _write(stand, _slice(node, driver))
        if status not in _DENIED:
            raise NotMetError(f"no slice of {what} written with its token", f"status {status}")


async def _few_rights(stand: Stand) -> None:
    _check_ours(stand)
    await stand.start()
    await stand.published()
    ref = await stand.claim(stand.use(stand.devices(1)[0]))
    await prepared(stand, ref)
    await unprepared(stand, ref)
    refusals = [line for line in stand.driver.process.said.splitlines() if _FORBIDDEN in line]
    if refusals:
        raise NotMetError("no request beyond the minimal role", refusals[0])


def _check_ours(stand: Stand) -> None:
    if not stand.profile.is_ours:
        raise UnsuitedError(
            "white box: the testbed speaks HTTP without TLS, over which Go clients send no token"
        )


async def _write(stand: Stand, body: KubeObject) -> int:
    """Create a slice with the driver's own token; returns the status."""
    client = KubeClient(find(str(stand.kubeconfig), {}))
    try:
        await client.send("POST", _SLICES, body)
    except ApiError as err:
        return err.status
    finally:
        await client.close()
    return _CREATED


def _slice(node: str, driver: str) -> KubeObject:
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"generateName": "conformance-"},
        "spec": {"driver": driver, "nodeName": node, "pool": pool, "devices": [{"name": "d"}]},
    }


async def _discreet(stand: Stand) -> None:
    secret = f"conformance-{secrets.token_hex(8)}"
    wrong = {"apiVersion": "conformance.example/v1", "kind": "Unknown", "password": secret}
    told = await _errors(stand, wrong)
    known = [secret]
    for parameters in stand.subject.parameters:
        told += await _errors(stand, parameters)
        known += _texts(parameters)
    said = stand.driver.process.said
    for text in known:
        if text in said:
            raise NotMetError("no value of a claim's parameters in the log", f"{text!r} is there")
        if text in told:
            raise NotMetError("no value of a claim's parameters in an error", told.strip())


async def _errors(stand: Stand, parameters: Parameters) -> str:
    """Let the driver see parameters, with a claim for each of its first devices; what it told of them."""
    told = ""
    config = [opaque(stand.driver.name, parameters)]
    for device in stand.offer.together()[:_DEVICES]:
        ref = await stand.claim(stand.use(device), config=config)
        try:
            answers = await stand.driver.prepare(ref)
            told += "".join(answer.error for answer in answers.values())
            await stand.driver.unprepare(ref)
        except RpcError as err:
            told += str(err)
    return told


def _texts(value: Any, key: str = "") -> list[str]:
    """The texts in parameters that may be secrets: long ones, other than the type of the object."""
    if isinstance(value, str):
        public = len(value) < _SHORTEST_SECRET or key in {"apiVersion", "kind"}
        return [] if public else [value]
    if isinstance(value, list):
        return [text for entry in value for text in _texts(entry)]
    if isinstance(value, dict):
        return [text for name, entry in value.items() for text in _texts(entry, name)]
    return []


CASES = (
    Case(
        "SEC-01", "runs without capabilities",
        "A driver pod that is privileged owns the node; most hardware needs no more than its device nodes.",
        "Open what needs privileges in a worker, or say in the chart which mode needs them and why.",
        _unprivileged, Conditions(own=True, starts=False),
    ),
    Case(
        "SEC-02", "a ValidatingAdmissionPolicy confines its token to its own slices of its own node",
        "RBAC cannot tell nodes apart (KEP-4601): without a policy one node's token rewrites every node's slices.",
        "Ship a policy that compares the token's node with spec.nodeName, and spec.driver with your name.",
        _confined, _SECURED,
    ),
    Case(
        "SEC-03", "the minimal role is enough",
        "A node driver needs nodes: get, resourceslices: all but deletecollection, resourceclaims: get, its claims'"
        " status and events.",
        "Get single claims and your node by name; list or watch neither claims nor pods.",
        _few_rights, _SECURED,
    ),
    Case(
        "SEC-04", "no value of opaque parameters in logs or errors",
        "Parameters may hold passwords; logs and events are read by others than the claim's owner.",
        "Log names of fields, never values, also at the most talkative level and in traces.",
        _discreet, Conditions(own=True, debug=True),
    ),
)  # fmt: skip
