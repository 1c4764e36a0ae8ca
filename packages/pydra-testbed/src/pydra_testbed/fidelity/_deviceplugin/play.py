"""A scenario played: what people and plugins did then is done again, and what our kubelet makes of it is noted.

Each step waits until the kubelet has done all that it did then, or until it is clear that it will not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydra_testbed.clock import settle
from pydra_testbed.fidelity._deviceplugin.plugin import CUT, Heard, Plugin, in_order, whole
from pydra_testbed.fidelity._deviceplugin.story import Line, Story
from pydra_testbed.fidelity._deviceplugin.world import World, patiently

_LONG_MS = 5000.0
_AMOUNTS = re.compile(r"capacity/allocatable=(\d+)/(\d+)")
_EARLIER = {"container_responses": [{"envs": {"EARLIER": "1"}}]}


class Play:
    """One scenario in one world."""

    def __init__(self, story: Story, world: World) -> None:
        self._story = story
        self._world = world
        self._plugins: dict[str, Plugin] = {}
        self._wanted: dict[str, list[Heard]] = {}
        self._differences: list[str] = []
        self._starts = 0
        self._pods = 0
        self._stopped_at: tuple[float, float] | None = None
        self._socket: tuple[int, int] | None = None

    async def run(self) -> list[str]:
        """Play it; returns where the kubelet did something else."""
        try:
            await self._set_up()
            for line in self._story.lines:
                await self._play(line)
            await self._in_line()
            await self._world.amounts(self._story.resource)  # time for a call too many
            return [*self._differences, *self._compared()]
        finally:
            for plugin in self._plugins.values():
                await plugin.stop()

    async def _set_up(self) -> None:
        """Bring about what earlier scenarios left."""
        story, before = self._story, self._story.before
        self._world.define(story.cdi_names)
        if before.plugin:
            plugin = await self._start(before.plugin, before.socket, before.devices)
            await self._settle_in(plugin)
            plugin.heard.clear()

    async def _settle_in(self, plugin: Plugin) -> None:
        story, world = self._story, self._world
        taken = story.taken
        plugin.answers = {
            "GetDevicePluginOptions": story.before.options,
            "GetPreferredAllocation": {"container_responses": [{"deviceIDs": taken}]},
            "Allocate": _EARLIER,
        }
        request = {"version": "v1beta1", "endpoint": plugin.socket.name}
        request["resource_name"] = story.resource
        await plugin.register(self._kubelet, request, world.clock)
        await self._heard(plugin, "ListAndWatch")
        await world.until_offered(story.resource)
        if story.before.cut_for is not None:
            plugin.end_stream()
            await world.until_lost(story.resource)
            await world.clock.advance(story.before.cut_for)
        elif taken:
            await world.pod("earlier", story.resource, len(taken))
            await self._heard(plugin, "PreStartContainer")

    async def _play(self, line: Line) -> None:
        await self._in_line()
        method, kind = line.get("method"), line.get("kind")
        if line.get("event") == "operator":
            await self._operate(line, str(line["note"]))
        elif line.get("event"):
            await self._happen(line, str(line["event"]))
        elif method == "Register":
            await self._register(line)
        elif kind == "stream-open":
            self._want(line, Heard(str(method), {}))
        elif kind == "stream-send":
            self._plugins[line["plugin"]].list(line["response"])
        elif kind == "stream-close":
            await self._close(line)
        else:
            await self._call(line, str(method))

    async def _operate(self, line: Line, note: str) -> None:
        if note == "plugin SIGTERM":
            self._stopped_at = (float(line["t"]), self._world.clock.monotonic())
            await self._stop(list(self._plugins.values())[-1])
        elif note == "kubelet stop":
            await self._world.stop()
        elif note == "kubelet start":
            await self._restart()
        elif note == "pod delete":
            for name in await self._world.pods():
                await self._world.delete(name)
            await self._world.until_gone()
        elif amounts := _AMOUNTS.search(note):
            await self._see(line, (amounts[1], amounts[2]))

    async def _happen(self, line: Line, event: str) -> None:
        who = str(line.get("plugin", ""))
        if event == "plugin-started":
            await self._start(who, Path(line["sock"]).name, None)
        elif event == "plugin-stopping":
            await self._stop(self._plugins[who])
        elif event == "own-socket-recreated":
            await self._plugins[who].rebind()
        elif event in {"kubelet.sock-changed", "own-socket-changed"}:
            await self._restart()
            if self._world.socket == self._socket:
                self._differences.append("a new kubelet's socket is the old one's")
            if self._plugins[who].socket.exists():
                self._differences.append("a new kubelet leaves the plugin's socket")

    async def _restart(self) -> None:
        if not self._world.is_running:
            await self._world.start()

    async def _start(self, who: str, socket: str, devices: Any) -> Plugin:
        plugin = Plugin(self._world.folder / socket, devices or {"devices": []})
        self._plugins[who] = plugin
        await plugin.serve()
        return plugin

    async def _stop(self, plugin: Plugin) -> None:
        if not plugin.is_stopped:
            await plugin.stop()
            await self._world.until_lost(self._story.resource)

    async def _register(self, line: Line) -> None:
        who = str(line["plugin"])
        plugin = self._plugins.get(who) or Plugin(self._world.folder / "none")
        for later in self._story.rest_of(who, line):
            if later.get("kind") == "stream-send":
                plugin.devices = later["response"]
                break
        plugin.answers["GetDevicePluginOptions"] = self._story.options_of(who)
        work = plugin.register(self._kubelet, line["request"], self._world.clock)
        took = float(line["took_ms"])
        seconds = took / 1000 if took > _LONG_MS else 0.0
        refusal = await patiently(self._world, asyncio.ensure_future(work), seconds)
        if refusal != (wanted := line.get("error") or ""):
            self._differences.append(f"Register: {wanted or 'taken'}; here: {refusal or 'taken'}")

    async def _close(self, line: Line) -> None:
        plugin = self._plugins[line["plugin"]]
        if plugin.is_stopped:
            return
        following = [*self._story.rest(line), {}][0]
        if self._world.is_running and not any(p.is_stopped for p in self._plugins.values()):
            if following.get("event") == "operator":
                plugin.end_stream()
                await self._world.until_lost(self._story.resource)
                return
            self._socket = self._world.socket
            await self._world.stop()
        self._want(line, CUT)

    async def _call(self, line: Line, method: str) -> None:
        if method == "GetPreferredAllocation":
            await self._pod(line)
        elif method == "PreStartContainer":
            if self._starts:
                self._world.end_container()
            self._starts += 1
        request = in_order(line["request"])
        self._want(line, Heard(method, request, whole(float(line["deadline_s"]))))

    async def _pod(self, line: Line) -> None:
        """A pod came: it asked for as many devices as the kubelet then did."""
        plugin, self._starts = self._plugins[line["plugin"]], 0
        plugin.answers["GetPreferredAllocation"] = line["response"]
        later = self._story.rest_of(line["plugin"], line)
        for each in later:
            if each.get("method") == "Allocate":
                plugin.answers["Allocate"] = each["response"]
                plugin.failures = {"Allocate": each["error"]} if each["error"] else {}
                break
        self._pods += 1
        name = f"pod-{self._pods}"
        is_started = any(each.get("method") == "PreStartContainer" for each in later)
        plugin.before_answer = None if is_started or plugin.failures else self._deletes(name)
        count = line["request"]["container_requests"][0]["allocation_size"]
        await self._world.until_offered(self._story.resource)
        await self._world.pod(name, self._story.resource, count)

    def _deletes(self, pod: str) -> Any:
        """A pod that never started was deleted while its devices were allocated."""

        async def before_answer(method: str) -> None:
            if method == "Allocate":
                await self._world.delete(pod)
                await settle(100)

        return before_answer

    async def _see(self, line: Line, wanted: tuple[str, str]) -> None:
        """The node's amounts, as long after the plugin's end as then."""
        if self._stopped_at is not None:
            then, here = self._stopped_at
            left = float(line["t"]) - then - (self._world.clock.monotonic() - here)
            await self._world.clock.advance(max(left, 0.0))
        found = await self._world.amounts(self._story.resource)
        if found != wanted:
            self._differences.append(f"capacity and allocatable {wanted}; here: {found}")

    def _want(self, line: Line, heard: Heard) -> None:
        self._wanted.setdefault(str(line["plugin"]), []).append(heard)

    async def _in_line(self) -> None:
        """Wait until the kubelet has done as much as it had then."""
        await self._world.until(
            lambda: all(
                len(self._plugins[who].heard) >= len(wanted) for who, wanted in self._wanted.items()
            )
        )

    async def _heard(self, plugin: Plugin, what: str) -> None:
        await self._world.until(lambda: any(each.what == what for each in plugin.heard))

    def _compared(self) -> Iterator[str]:
        for who, plugin in self._plugins.items():
            pairs = zip_longest(self._wanted.get(who, ()), plugin.heard)
            for number, (wanted, heard) in enumerate(pairs, 1):
                if wanted != heard:
                    yield f"call {number}: {_told(wanted)}; here: {_told(heard)}"
                    break

    @property
    def _kubelet(self) -> Path:
        return self._world.folder / "kubelet.sock"


def _told(heard: Heard | None) -> str:
    if heard is None:
        return "nothing"
    limit = "" if heard.deadline is None else f" within {heard.deadline:g} s"
    return f"{heard.what} {heard.request or ''}{limit}"
