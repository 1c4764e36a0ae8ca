"""SLICE-07, SLICE-08 and SLICE-10: API servers of older versions, and with feature gates that are off."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from pydra_core._api.gates import GATES
from pydra_testbed.conformance import older
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.older import Release
from pydra_testbed.conformance.pools import RESOURCE, Usable, devices_of, slices_of, until, usable
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.objects import KubeObject

_SEEN = Conditions(own=True, starts=False, release=Release.NEW)
_V1_34 = Conditions(own=True, starts=False, release=Release.V1_34)
_BETA = Conditions(own=True, starts=False, release=Release.BETA)
_NEEDS = re.compile(r"resource\.k8s\.io.*(\b1\.34|\bv1beta[12])|(\b1\.34).*resource\.k8s\.io")


async def _lays_out_counters(stand: Stand) -> None:
    sets = [s for spec in stand.profile.slices for s in spec.get("sharedCounters") or []]
    if not sets:
        raise UnsuitedError("the driver publishes no shared counters")
    wanted = devices_of({"spec": spec} for spec in stand.profile.slices)
    await stand.start()
    await _complete(stand, "on Kubernetes 1.34", wanted)
    if stand.front is not None:
        stand.front.release = Release.NEW
    await stand.driver.process.stop(stand.limits.stop)
    await stand.start()
    await _complete(stand, "after an upgrade to Kubernetes 1.35", wanted)
    for body in await slices_of(stand):
        spec = body["spec"]
        if spec.get("sharedCounters") and spec.get("devices"):
            raise NotMetError("counters and devices in slices of their own since 1.35", str(spec))


async def _complete(stand: Stand, when: str, wanted: list[str]) -> None:
    """Wait for the devices, whose counters must be there for those who read the pool."""
    what = f"the same devices as ever {when}"

    def done(found: Usable) -> bool:
        names = sorted(name for pool in found.values() for name in pool)
        return names == sorted(wanted) or bool(stand.refusals)

    await until(stand, what, done)
    if refused := stand.refusals:
        raise NotMetError(what, f"the API server refused a slice: {refused[-1]}")
    slices = await slices_of(stand)
    for body in slices:
        older.restore(body)
    sets = {s["name"] for b in slices for s in b["spec"].get("sharedCounters") or []}
    for body in slices:
        if missing := sorted(set(_consumed(body["spec"])) - sets):
            raise NotMetError(f"the counter sets of all devices {when}", f"{missing} are missing")


def _consumed(spec: KubeObject) -> Iterator[str]:
    for device in spec.get("devices") or []:
        for entry in device.get("consumesCounters") or []:
            yield entry["counterSet"]


async def _bears_gates(stand: Stand) -> None:
    fields = [path for path in GATES if any(_uses(s, path) for s in stand.profile.slices)]
    if not fields:
        raise UnsuitedError(
            "the driver uses no field of a slice that a feature gate can switch off"
        )
    stand.server.faults.drop_fields(RESOURCE, *fields)
    await stand.start()
    await until(stand, "its devices, without what the server drops", lambda f: any(f.values()))
    await _quiet(stand, fields)
    said = stand.driver.process.said
    for path in fields:
        if path.rpartition(".")[2] not in said and GATES[path] not in said:
            wanted = f"a log that names {path} or its feature gate {GATES[path]}"
            raise NotMetError(wanted, f"not a word of it: {stand.driver.process.last_words}")


def _uses(spec: KubeObject, path: str) -> bool:
    """Whether a field is there; `[]` goes through all entries of a list or map."""
    nodes: list[object] = [spec]
    for step in path.split(".")[1:]:
        below = [n.get(step.removesuffix("[]")) for n in nodes if isinstance(n, dict)]
        if step.endswith("[]"):
            below = [e for b in below if b for e in (b.values() if isinstance(b, dict) else b)]
        nodes = list(below)
    return any(nodes)


async def _quiet(stand: Stand, fields: list[str]) -> None:
    """Wait until it writes no more; nothing has changed since the first answer."""
    written = stand.front.written if stand.front else []
    pause = max(stand.limits.moment, 1.0)
    try:
        async with asyncio.timeout(stand.limits.notice + 2 * pause):
            before = -1
            while before != len(written):
                before = len(written)
                await asyncio.sleep(pause)
    except TimeoutError:
        seen = f"{len(written)} writes, and no end"
        raise NotMetError(
            f"an end of writing, though {', '.join(fields)} never arrive", seen
        ) from None


async def _finds_its_version(stand: Stand) -> None:
    await stand.start()

    async def told() -> bool:
        lines = stand.driver.process.said.splitlines()
        return any(map(_NEEDS.search, lines)) or any(usable(await slices_of(stand)).values())

    wanted = "slices in resource.k8s.io/v1beta1, or a log line that says which version it needs"
    await stand.eventually(wanted, told, stand.limits.start)
    if stand.front is not None:
        stand.front.release = Release.NEW
    await until(
        stand,
        "its devices once the API server has v1, without a restart",
        lambda f: any(f.values()),
    )


CASES = (
    Case(
        "SLICE-07", "shared counters stand where the server's version wants them",
        "In Kubernetes 1.33 and 1.34 a device consumes counters of its own slice; since 1.35 a slice holds counters or"
        " devices, never both (KEP-4815).",
        "Ask for the server's version and lay slices out by it; write them anew after an upgrade.",
        _lays_out_counters, _V1_34,
    ),
    Case(
        "SLICE-08", "names the fields that the server drops, and does not write them again and again",
        "Fields of a feature gate that is off are dropped without an error; who compares what is stored with what was"
        " sent never ends writing.",
        "Compare the answer with what was sent, log field and gate, and take the rest for what is wanted.",
        _bears_gates, _SEEN,
    ),
    Case(
        "SLICE-10", "on a server without resource.k8s.io/v1 it publishes in an older version or says what it needs",
        "Kubernetes 1.32 has v1beta1 alone, 1.33 v1beta2 too, v1 begins with 1.34; the cluster may be upgraded while"
        " the driver runs.",
        "Take the newest version that the server has and ask again on 404, or log that v1 is needed.",
        _finds_its_version, _BETA,
    ),
)  # fmt: skip
