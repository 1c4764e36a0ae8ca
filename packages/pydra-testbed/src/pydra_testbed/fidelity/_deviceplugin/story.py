"""One scenario read: its lines in the order in which they began, and what of it was there before.

A line is a record of the recorder's log: something that the experimenter or the plugin did, which is done again, or
something that the kubelet did, which must come out again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydra_testbed.fidelity.model import Record

Line: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Before:
    """What earlier scenarios left.

    Attributes:
        plugin: The plugin that runs; empty for none.
        socket: The name of its socket.
        devices: What it listed last.
        options: What it answered when it was asked for options.
        cut_for: Seconds for which the kubelet has had no stream of it; None while it has one.
    """

    plugin: str = ""
    socket: str = ""
    devices: Any = None
    options: Any = None
    cut_for: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """A scenario; `resource` is what its plugins serve."""

    lines: tuple[Line, ...]
    before: Before
    resource: str

    @property
    def taken(self) -> list[str]:
        """The devices that pods of earlier scenarios have: those the first pod could not get."""
        for line in self.lines:
            if line.get("method") == "GetPreferredAllocation":
                asked = line["request"]["container_requests"][0]
                listed = [device["ID"] for device in self.before.devices["devices"]]
                return [name for name in listed if name not in asked["available_deviceIDs"]]
        return []

    @property
    def cdi_names(self) -> list[str]:
        """All CDI device names that plugins answered."""
        return [
            each["name"]
            for line in self.lines
            for container in (line.get("response") or {}).get("container_responses") or ()
            for each in container.get("cdi_devices") or ()
        ]

    def options_of(self, plugin: str) -> Any:
        """What a plugin answered when it was asked for options."""
        for line in self.lines:
            if line.get("plugin") == plugin and line.get("method") == "GetDevicePluginOptions":
                return line["response"]
        return self.before.options or {}

    def rest_of(self, plugin: str, line: Line) -> Sequence[Line]:
        """What comes after a line of one plugin."""
        return [each for each in self.rest(line) if each.get("plugin") == plugin]

    def rest(self, line: Line) -> Sequence[Line]:
        """What comes after a line."""
        return self.lines[self.lines.index(line) + 1 :]


def began(line: Line) -> float:
    """When it began: calls are noted at their end."""
    return float(line.get("t", 0.0)) - float(line.get("took_ms", 0.0)) / 1000


def read(record: Record) -> Story:
    """The scenario of a record as `files` makes it: `lines`, and all `earlier` ones."""
    earlier, lines = list(record["earlier"]), sorted(record["lines"], key=began)
    resources = [
        line["request"]["resource_name"]
        for line in (*earlier, *lines)
        if line.get("method") == "Register" and line.get("code") == "OK"
    ]
    at = began(lines[0]) if lines else 0.0
    return Story(tuple(lines), _before(sorted(earlier, key=began), at), [*resources, ""][0])


def _before(earlier: Iterable[Line], now: float) -> Before:
    plugin, socket, devices, options = "", "", None, None
    open_since: dict[str, bool] = {}
    cut_at: float | None = None
    for line in earlier:
        who = str(line.get("plugin", ""))
        if line.get("event") == "plugin-started":
            plugin, socket = who, str(line["sock"]).rpartition("/")[2]
        elif line.get("event") == "plugin-stopping" and who == plugin:
            plugin = ""
        elif line.get("kind") == "stream-open":
            open_since[who], cut_at = True, None
        elif line.get("kind") == "stream-send":
            devices = line["response"]
        elif line.get("method") == "GetDevicePluginOptions":
            options = line["response"]
        elif line.get("kind") == "stream-close" and open_since.pop(who, False) and who == plugin:
            cut_at = float(line["t"])
    cut_for = None if cut_at is None else now - cut_at
    return Before(plugin, socket, devices, options, cut_for)


def renamed(record: Record) -> Record:
    """The same scenario with other names for the resource and its devices."""
    lines = (*record["earlier"], *record["lines"])
    sent = [line["response"] for line in lines if line.get("kind") == "stream-send"]
    words = {device["ID"]: f"other-{device['ID']}" for each in sent for device in each["devices"]}
    changed: dict[str, Any] = _walk(dict(record), words)
    return changed


def _walk(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _walk(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, words) for item in value]
    return _replaced(value, words) if isinstance(value, str) else value


def _replaced(text: str, words: Mapping[str, str]) -> str:
    if not words:
        return text
    known = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{known})(?![\w-])", lambda match: words[match[0]], text)
