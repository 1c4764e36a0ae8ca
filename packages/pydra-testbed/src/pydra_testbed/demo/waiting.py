"""Pods that a manifest expects to wait: until the scheduler says so, and why, in the words of `pydra explain`.

A pod tells with the annotation `demo.pydra.example/expect` which reason its PodScheduled condition will have.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pydra_core.errors import PydraError
from pydra_testbed.explain.explaining import explain
from pydra_testbed.explain.subject import Target
from pydra_testbed.explain.text import Limits, in_words
from pydra_testbed.explain.world import World, by_key
from pydra_testbed.objects import Api, KubeObject, ObjectRef, Selection

ANNOTATION = "demo.pydra.example/expect"
_SHORT = Limits(width=74, nodes=1, devices=3)


class UnexpectedError(PydraError):
    """A pod that was expected to wait did not; names the pod and what became of it."""

    reason = "DidNotWait"


def expectation(body: KubeObject) -> str:
    """The reason a manifest's pod is expected to wait for, empty if it is expected to run."""
    return str((body["metadata"].get("annotations") or {}).get(ANNOTATION, ""))


async def until_it_waits(api: Api, ref: ObjectRef, reason: str, patience: float) -> str:
    """Return the scheduler's message once the pod has the expected condition; `patience` in seconds.

    Raises:
        UnexpectedError: the pod got a node, or the condition did not come in time.
    """
    selection = Selection(ref.namespace, field_selector=f"metadata.name={ref.name}")
    where = f"pod {ref.namespace}/{ref.name}: expected to wait ({reason})"
    try:
        async with asyncio.timeout(patience):
            async for event in api.watch("pods", selection):
                pod = event.object
                if node := pod["spec"].get("nodeName"):
                    raise UnexpectedError(f"{where}, but runs on {node}; remove its annotation")
                for condition in (pod.get("status") or {}).get("conditions") or ():
                    if condition["type"] == "PodScheduled" and condition.get("reason") == reason:
                        return str(condition.get("message", ""))
    except TimeoutError as err:
        raise UnexpectedError(f"{where}, but did not get that far in {patience:.0f} s") from err
    raise UnexpectedError(f"{where}, but the watch ended before")


async def why_it_waits(api: Api, ref: ObjectRef) -> str:
    """The short text of `pydra explain` for the pod."""
    found = explain(Target("pod", ref.namespace, ref.name), await _world(api))
    return in_words(replace(found, scheduler=""), _SHORT)


async def _world(api: Api) -> World:
    async def held(resource: str) -> dict[str, KubeObject]:
        return by_key((await api.list(resource)).items)

    return World(
        await held("nodes"),
        await held("resourceslices"),
        await held("deviceclasses"),
        await held("resourceclaims"),
        await held("resourceclaimtemplates"),
        await held("pods"),
        await held("namespaces"),
    )
