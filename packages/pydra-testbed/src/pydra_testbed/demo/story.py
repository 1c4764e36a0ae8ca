"""The demo's course: driver up, manifests applied one file after the other, pods run, everything deleted.

Everything told is read back from where a user would look: the API, the kubelet's calls, the spec files.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from pydra_core.errors import PydraError
from pydra_testbed.cluster import Node, Testbed
from pydra_testbed.demo import events
from pydra_testbed.demo.reasons import why
from pydra_testbed.demo.waiting import expectation, until_it_waits, why_it_waits
from pydra_testbed.driver_process import DriverProcess, published
from pydra_testbed.kubelet import DriverCall
from pydra_testbed.manifests import Manifest, apply
from pydra_testbed.objects import KubeObject, ObjectRef, Selection, key_of, name_of, namespace_of

Tell: TypeAlias = Callable[[events.Event], None]

_PATIENCE = 60.0
"""Seconds a pod may take before the demo gives up and says what it waits for."""
_WAITING = "Waiting"
_LOG_LINES = 30
"""Of the driver's log, after a call that failed."""


class DemoError(PydraError):
    """A pod did not come to its end; names the pod and what the cluster says of it."""

    reason = "DemoFailed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the pods of a demo ended."""

    succeeded: int
    failed: int
    waiting: int = 0


class Story:
    """Tells one demo on one node of a running testbed."""

    def __init__(self, testbed: Testbed, node: Node, driver: DriverProcess, tell: Tell) -> None:
        self._testbed = testbed
        self._api = testbed.api
        self._node = node
        self._driver = driver
        self._tell = tell
        self._claims: set[str] = set()
        self._applied: list[ObjectRef] = []

    async def play(self, manifests: Sequence[Manifest]) -> Outcome:
        """Run the demo to its end.

        Raises:
            DriverDiedError: the driver ended.
            ManifestError: a manifest was refused.
            DemoError: a pod did not finish.
            UnexpectedError: a pod that was expected to wait did not.
        """
        started = time.monotonic()
        name = await published(self._testbed, self._node, self._driver)
        self._driver.news()
        self._tell(events.DriverStarted(name, self._node.name, time.monotonic() - started))
        self._tell(events.SlicesPublished(await self._slices()))
        self._testbed.observe(self._called)
        phases = [phase for manifest in manifests for phase in await self._act(manifest)]
        await self._clean_up()
        succeeded, waiting = phases.count("Succeeded"), phases.count(_WAITING)
        return Outcome(succeeded, len(phases) - succeeded - waiting, waiting)

    async def _slices(self) -> tuple[events.SliceRow, ...]:
        listed = await self._api.list("resourceslices")
        return tuple(_row(item) for item in listed.items)

    async def _act(self, manifest: Manifest) -> list[str]:
        """Apply one file and wait for its pods; returns their phases."""
        refs = await apply(self._api, manifest, self._testbed.server.resource_of)
        self._applied += refs
        kinds = [
            f"{body['kind']} {ref.name}" for body, ref in zip(manifest.objects, refs, strict=True)
        ]
        self._tell(events.Applied(manifest.name, tuple(kinds)))
        pods = [
            (ref, expectation(body))
            for body, ref in zip(manifest.objects, refs, strict=True)
            if ref.resource == "pods"
        ]
        if not pods:
            return []
        claims = asyncio.ensure_future(self._tell_allocations())
        try:
            return await asyncio.gather(*(self._run(ref, expected) for ref, expected in pods))
        finally:
            claims.cancel()
            await asyncio.gather(claims, return_exceptions=True)

    async def _run(self, ref: ObjectRef, expected: str) -> str:
        """Wait for a pod's end, or until it waits as expected, tell about it, and return its phase."""
        if expected:
            message = await until_it_waits(self._api, ref, expected, _PATIENCE)
            self._tell(events.PodWaits(ref.name, expected, message))
            self._tell(events.PodExplained(ref.name, await why_it_waits(self._api, ref)))
            return _WAITING
        pod = await self._finished(ref)
        await self._tell_pod(pod)
        return str(pod["status"]["phase"])

    async def _tell_allocations(self) -> None:
        async for event in self._api.watch("resourceclaims"):
            claim = event.object
            allocation = claim.get("status", {}).get("allocation")
            if (
                event.type in ("ADDED", "MODIFIED")
                and allocation
                and key_of(claim) not in self._claims
            ):
                self._claims.add(key_of(claim))
                chosen = tuple(_chosen(result) for result in allocation["devices"]["results"])
                self._tell(events.ClaimAllocated(key_of(claim), chosen))

    async def _finished(self, ref: ObjectRef) -> KubeObject:
        selection = Selection(ref.namespace, field_selector=f"metadata.name={ref.name}")
        last: KubeObject = {}
        try:
            async with asyncio.timeout(_PATIENCE):
                async for event in self._api.watch("pods", selection):
                    last = event.object
                    if last.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                        return last
        except TimeoutError as err:
            said = await why(self._api, last)
            raise DemoError(
                f"pod {ref.namespace}/{ref.name}: not finished after {_PATIENCE:.0f} s: {said}"
            ) from err
        raise DemoError(f"pod {ref.namespace}/{ref.name}: the watch ended before the pod did")

    async def _tell_pod(self, pod: KubeObject) -> None:
        container = pod["spec"]["containers"][0]["name"]
        log = self._testbed.logs.read(namespace_of(pod), name_of(pod), container, follow=False)
        try:
            output = b"".join([chunk async for chunk in log]).decode(errors="replace")
        except LookupError:  # the container was never started
            output = ""
        phase = pod["status"]["phase"]
        said = "" if phase == "Succeeded" else await why(self._api, pod)
        self._tell(events.PodFinished(name_of(pod), phase, output, said))

    def _called(self, call: DriverCall) -> None:
        if call.method not in ("NodePrepareResources", "NodeUnprepareResources"):
            return
        errors = "; ".join(text for _, text in call.claim_errors)
        outcome = errors or (call.code if call.code == "OK" else f"{call.code}: {call.error}")
        version = call.service.rpartition(".")[0].rpartition(".")[2]
        self._tell(
            events.DriverCalled(
                call.method, version, len(call.claims), call.duration * 1000, outcome
            )
        )
        if outcome != "OK":
            self._tell(events.DriverLogged(self._driver.news()[-_LOG_LINES:]))
        for claim in call.claims if call.method == "NodePrepareResources" else ():
            for file in sorted(self._node.cdi_dir.glob(f"*{claim.uid}.json")):
                self._tell(_spec_written(file))

    async def _clean_up(self) -> None:
        """Delete what was applied, last first, and wait until claims are unprepared and gone."""
        started = time.monotonic()
        for ref in [r for r in reversed(self._applied) if r.resource == "pods"]:
            await self._api.delete(ref)
            await self._gone(ref.resource, ref)
        for ref in [r for r in reversed(self._applied) if r.resource != "pods"]:
            await self._api.delete(ref)
        await self._gone("resourceclaims")
        left = await self._api.list("resourceclaims")
        specs = len(list(self._node.cdi_dir.glob("*.json")))
        self._tell(events.CleanedUp(len(left.items), specs, time.monotonic() - started))

    async def _gone(self, resource: str, ref: ObjectRef | None = None) -> None:
        """Wait until the object, or every object of the resource, is gone."""
        selector = f"metadata.name={ref.name}" if ref else ""
        selection = Selection(ref.namespace if ref else "", field_selector=selector)
        left = await self._api.list(resource, selection)
        names = {key_of(item) for item in left.items}
        if not names:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                async for event in self._api.watch(resource, selection, left.resource_version):
                    if event.type == "DELETED":
                        names.discard(key_of(event.object))
                    if not names:
                        return
        except TimeoutError as err:
            raise DemoError(
                f"{resource} {', '.join(sorted(names))}: not gone after {_PATIENCE:.0f} s"
            ) from err


def _row(body: KubeObject) -> events.SliceRow:
    spec = body["spec"]
    made = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
    age = max(0, int((datetime.now(UTC) - made).total_seconds()))
    devices = tuple(device["name"] for device in spec.get("devices") or [])
    return events.SliceRow(
        name_of(body), spec.get("nodeName", ""), spec["driver"], spec["pool"]["name"], age, devices
    )


def _chosen(result: KubeObject) -> str:
    consumed = result.get("consumedCapacity") or {}
    parts = ", ".join(f"{amount} {name.rpartition('/')[2]}" for name, amount in consumed.items())
    return f"{result['device']} of {result['pool']}" + (f" ({parts})" if parts else "")


def _spec_written(file: Path) -> events.SpecWritten:
    spec = json.loads(file.read_bytes())
    devices = (
        (f"{spec['kind']}={d['name']}", tuple(d["containerEdits"].get("env", [])))
        for d in spec["devices"]
    )
    return events.SpecWritten(file.name, tuple(devices))
