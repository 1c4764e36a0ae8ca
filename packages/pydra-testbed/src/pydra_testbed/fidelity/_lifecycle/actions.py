"""Carries out a record's client actions, the recorder's writes in a kubelet's place among them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from pydra_testbed.clock import rfc3339
from pydra_testbed.fidelity._lifecycle.bodies import Story
from pydra_testbed.fidelity._lifecycle.world import World
from pydra_testbed.objects import KubeObject, ObjectRef, Patch

Action = Callable[[int, re.Match[str]], Awaitable[None]]

_CONDITION = r"driver sets status.devices condition (?P<type>\w+)=(?P<status>\w+) on (?P<name>\S+)"


class Client:
    """Does what an action's text says."""

    def __init__(self, world: World, story: Story) -> None:
        self._world = world
        self._story = story
        self._api = world.api
        self._namespace = story.namespace
        self._sets = 0
        self._ways: tuple[tuple[re.Pattern[str], Action], ...] = tuple(
            (re.compile(pattern), action)
            for pattern, action in (
                (r"create Pod (?P<name>\S+)", self._create_pod),
                (r"create ResourceClaim (?P<name>\S+)", self._create_claim),
                (r"create Job (?P<name>\S+)", self._create_job),
                (r"kubelet sets Pod (?P<name>\S+) phase (?P<phase>\S+)", self._set_phase),
                (r"kubelet removes Pod (?P<name>\S+) .*", self._remove_pod),
                (r"DELETE Pod (?P<name>\S+) gracePeriodSeconds=0", self._remove_pod),
                (r"DELETE Pod (?P<name>\S+) ?", self._delete_pod),
                (r"DELETE ResourceClaim (?P<name>\S+)", self._delete_claim),
                (r"DELETE Job (?P<name>\S+) background", self._delete_job),
                (r"DELETE Namespace", self._delete_namespace),
                (r"PUT ResourceClaim status (?P<name>\S+)", self._put_status),
                (r"remove finalizers by patch", self._remove_finalizers),
                (r"update ResourceSlice: (?P<what>taint|no taint)(?: (?P<name>\S+))?", self._taint),
                (_CONDITION, self._device_condition),
            )
        )

    async def act(self, number: int, text: str) -> None:
        """Carry out one action; `number` is its place among them.

        Raises:
            ValueError: the text is none of those that are known.
        """
        for pattern, action in self._ways:
            if match := pattern.fullmatch(text):
                await action(number, match)
                return
        raise ValueError(f"action {text!r}: is none that this player knows")

    async def _create_pod(self, number: int, match: re.Match[str]) -> None:
        body = self._story.pod(match["name"], number)
        await self._api.create("pods", body, self._namespace)

    async def _create_claim(self, number: int, match: re.Match[str]) -> None:
        body = self._story.claim(match["name"], number)
        await self._api.create("resourceclaims", body, self._namespace)

    async def _create_job(self, _number: int, match: re.Match[str]) -> None:
        await self._api.create("jobs", self._story.job(match["name"]), self._namespace)

    async def _set_phase(self, _number: int, match: re.Match[str]) -> None:
        """With a restart count of its own, so that every such write changes something."""
        pod = await self._get("pods", match["name"])
        self._sets += 1
        container = {"name": "c", "restartCount": self._sets}
        news = {"phase": match["phase"], "containerStatuses": [container]}
        await self._api.update("pods", {**pod, "status": pod["status"] | news}, "status")

    async def _remove_pod(self, _number: int, match: re.Match[str]) -> None:
        await self._api.delete(self._ref("pods", match["name"]), 0)

    async def _delete_pod(self, number: int, match: re.Match[str]) -> None:
        grace, propagation = self._story.deletion(number)
        ref = self._ref("pods", match["name"])
        await self._api.delete(ref, grace, propagation=propagation)

    async def _delete_claim(self, _number: int, match: re.Match[str]) -> None:
        await self._api.delete(self._ref("resourceclaims", match["name"]))

    async def _delete_job(self, _number: int, match: re.Match[str]) -> None:
        await self._api.delete(self._ref("jobs", match["name"]), propagation="Background")

    async def _delete_namespace(self, _number: int, _match: re.Match[str]) -> None:
        await self._api.delete(ObjectRef("namespaces", self._namespace))

    async def _put_status(self, number: int, match: re.Match[str]) -> None:
        claim = await self._get("resourceclaims", match["name"])
        now = rfc3339(self._world.clock.now())
        claim["status"] = self._story.put_status(claim, number, now)
        await self._api.update("resourceclaims", claim, "status")

    async def _remove_finalizers(self, _number: int, _match: re.Match[str]) -> None:
        for claim in await self._world.all("resourceclaims"):
            ref = self._ref("resourceclaims", claim["metadata"]["name"])
            await self._api.patch(ref, Patch({"metadata": {"finalizers": None}}))

    async def _taint(self, _number: int, match: re.Match[str]) -> None:
        for name in [s["name"] for s in self._story.setup["slices"]]:
            body = await self._api.get("resourceslices", name)
            for device in body["spec"]["devices"]:
                device.pop("taints", None)
                if match["what"] == "taint" and device["name"] == match["name"]:
                    device["taints"] = [{"key": "lifecycle", "effect": "NoExecute"}]
            await self._api.update("resourceslices", body)

    async def _device_condition(self, _number: int, match: re.Match[str]) -> None:
        claim = await self._get("resourceclaims", match["name"])
        now = rfc3339(self._world.clock.now())
        condition = {
            "type": match["type"],
            "status": match["status"],
            "reason": "Set",
            "message": "",
            "lastTransitionTime": now,
        }
        claim["status"]["devices"] = [
            {name: result[name] for name in ("driver", "pool", "device")}
            | {"conditions": [condition]}
            for result in claim["status"]["allocation"]["devices"]["results"]
        ]
        await self._api.update("resourceclaims", claim, "status")

    async def _get(self, resource: str, name: str) -> KubeObject:
        ref = self._ref(resource, name)
        return await self._api.get(resource, ref.name, ref.namespace)

    def _ref(self, resource: str, name: str) -> ObjectRef:
        """The object that plays the part of a recorded name."""
        return ObjectRef(resource, self._world.names.actual(resource, name), self._namespace)
