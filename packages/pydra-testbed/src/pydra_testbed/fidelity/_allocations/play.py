"""Plays one scenario: objects first, then pod after pod and the recorded steps, on a manual clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydra_testbed.fidelity._allocations.answers import Answer, all_claims, final_answer, pod_answer
from pydra_testbed.fidelity._allocations.pods import spec_of
from pydra_testbed.fidelity._allocations.world import World
from pydra_testbed.objects import ApiStatusError, KubeObject, ObjectRef

_PROTECTION = "resource.kubernetes.io/delete-protection"
_SECOND_TRY = 1.0
_AFTERMATH = 1.0


class Scenario:
    """One recorded scenario in a world of its own; sees inputs, and of the outcome only how dice fell."""

    def __init__(self, record: Mapping[str, Any], *, evicts_early: bool = False) -> None:
        self._record = record
        self._evicts_early = evicts_early
        self._pods = {pod["name"]: pod for pod in record["pods"]}
        self._rolled: dict[str, str] = {
            each["pod"]: each["scheduled_node"]
            for each in record["outcome"]
            if each.get("scheduled_node")
        }
        self._world = World(record.get("gates") or {}, record.get("namespace") or "default")

    async def play(self) -> Answer:
        """The answers, in the form of the record's."""
        steps = self._record.get("steps") or [{"create": name} for name in self._pods]
        async with self._world.running(self._dice) as world:
            await self._set_up()
            outcome = [answer for step in steps for answer in await self._step(step)]
            await world.clock.advance(_AFTERMATH)
            await world.stop_pods()
            return {"outcome": outcome, **await final_answer(world, self._record)}

    def _dice(self, pod: KubeObject, nodes: Sequence[str]) -> str:
        """Kubernetes takes one of several equally good nodes by chance: the one it took in the recording."""
        rolled = self._rolled.get(pod["metadata"]["name"], "")
        return rolled if rolled in nodes else nodes[0]

    async def _set_up(self) -> None:
        world, record = self._world, self._record
        if world.namespace != "default":
            labels = {"resource.kubernetes.io/admin-access": "true"}
            body = {"metadata": {"name": world.namespace, "labels": labels}}
            await world.api.create("namespaces", body)
        for node in record["nodes"]:
            labels = {"kubernetes.io/hostname": node["name"], **(node.get("labels") or {})}
            status = {"conditions": [{"type": "Ready", "status": "True"}]}
            metadata = {"name": node["name"], "labels": labels}
            await world.api.create("nodes", {"metadata": metadata, "status": status})
        for resource, items in _objects(record):
            for item in items:
                await world.make(resource, item)
        for item in record.get("claims") or ():
            await self._claim(item)
        for item in record.get("taintRules") or ():
            await world.make("devicetaintrules", item)
        await world.calm()

    async def _claim(self, item: Mapping[str, Any]) -> None:
        api = self._world.api
        claim = await self._world.make("resourceclaims", item)
        if item.get("status"):
            claim["metadata"]["finalizers"] = [_PROTECTION]
            claim = await api.update("resourceclaims", claim)
            claim["status"] = item["status"]
            await api.update("resourceclaims", claim, "status")

    async def _step(self, step: Mapping[str, Any]) -> list[Answer]:
        action, subject = next((key, value) for key, value in step.items() if key != "after")
        return list(await getattr(self, f"_{_snake(action)}")(subject, step))

    async def _create(self, name: str, step: Mapping[str, Any]) -> list[Answer]:
        return [{"step": step, "pod": name, **(await self._decided([name]))[0]}]

    async def _create_together(self, names: list[str], step: Mapping[str, Any]) -> list[Answer]:
        answers = await self._decided(names)
        return [
            {"step": step, "pod": name, **answer}
            for name, answer in zip(names, answers, strict=True)
        ]

    async def _decided(self, names: list[str]) -> list[Answer]:
        """Create pods and wait for the scheduler's word, again after its pause where a first try failed."""
        world = self._world
        if self._evicts_early:
            await world.stop_pods()
        for name in names:
            pod = self._pods[name]
            await world.make("pods", {"name": name, "spec": spec_of(pod)})

        async def bound() -> bool:
            found = [await world.get("pods", name) for name in names]
            return all(pod is None or pod["spec"].get("nodeName") for pod in found)

        await world.calm(until=bound)
        wait = float(self._record.get("wait") or 0)
        if wait or (any(name in self._rolled for name in names) and not await bound()):
            await world.clock.advance(max(wait, _SECOND_TRY))
            await world.calm(until=bound)
        return [await pod_answer(world, name) for name in names]

    async def _delete_pod(self, name: str, step: Mapping[str, Any]) -> list[Answer]:
        world = self._world
        await world.api.delete(ObjectRef("pods", name, world.namespace), 0)
        await world.calm()
        claims = await all_claims(world)
        has_templates = bool(self._record.get("claimTemplates"))
        return [{"step": step, "claims_after": len(claims) if has_templates else claims}]

    async def _check(self, name: str, step: Mapping[str, Any]) -> list[Answer]:
        await self._world.clock.advance(float(step["after"]))
        await self._world.stop_pods()
        return [{"step": step, "pod": name, **await pod_answer(self._world, name)}]

    async def _write(self, action: str, resource: str, subject: Any) -> list[Answer]:
        """Create, update or delete an object; the answer is the HTTP status."""
        world = self._world
        name = subject if isinstance(subject, str) else subject["name"]
        status = 200
        try:
            if action.startswith("delete"):
                await world.api.delete(ObjectRef(resource, name, world.home(resource)), None)
            elif action.startswith("create"):
                await world.make(resource, subject)
                status = 201
            elif (stored := await world.get(resource, name)) is not None:
                await world.api.update(resource, {**stored, "spec": subject["spec"]})
        except ApiStatusError as problem:
            status = problem.code
        await world.calm()
        return [{"step": {action: name}, "status": status}]

    async def _create_slice(self, subject: Any, _step: Any) -> list[Answer]:
        return await self._write("createSlice", "resourceslices", subject)

    async def _update_slice(self, subject: Any, _step: Any) -> list[Answer]:
        return await self._write("updateSlice", "resourceslices", subject)

    async def _delete_slice(self, subject: Any, _step: Any) -> list[Answer]:
        return await self._write("deleteSlice", "resourceslices", subject)

    async def _create_claim(self, subject: Any, _step: Any) -> list[Answer]:
        return await self._write("createClaim", "resourceclaims", subject)

    async def _delete_claim(self, subject: Any, _step: Any) -> list[Answer]:
        return await self._write("deleteClaim", "resourceclaims", subject)


def _objects(record: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    yield "deviceclasses", record["deviceClasses"]
    yield "resourceslices", record["slices"]
    yield "resourceclaimtemplates", record.get("claimTemplates") or ()


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
