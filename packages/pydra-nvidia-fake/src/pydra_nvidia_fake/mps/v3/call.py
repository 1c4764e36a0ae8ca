"""One command of the third protocol: its words, keys and flags, and what most of them need to find or show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydra_nvidia_fake.mps import trouble
from pydra_nvidia_fake.mps.limits import strict_size
from pydra_nvidia_fake.mps.servers import Server
from pydra_nvidia_fake.mps.service import Service

NAME = re.compile(r"[a-z0-9_]{1,64}")
_FLAGS = {"force", "all"}
_KEYS = {
    *("server", "uid", "allowed-devices", "format", "device", "chunks", "include-remainder"),
    *("pinned-memory-limit", "active-thread-percentage", "client-priority"),
}
_WHOLE = 100


class Refused(Exception):  # noqa: N818 - an answer, no error of ours
    """A command is not done; the text says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """A command. `command` is its module and verb."""

    service: Service
    uid: int
    command: str
    words: list[str]
    keys: dict[str, str]
    flags: set[str]

    @classmethod
    def of(cls, service: Service, uid: int, argv: list[str]) -> Call:
        """Take arguments apart: up to three words, `--key=value` or `key=value`, and flags."""
        words, keys, flags = [], {}, set()
        for word in argv[2:]:
            name, given, value = word.removeprefix("--").partition("=")
            if given and name in _KEYS:
                keys[name] = value
            elif word.removeprefix("--") in _FLAGS:
                flags.add(name)
            elif word.startswith("-") or given:
                raise Refused(f"unknown option '{word}'")
            else:
                words.append(word)
        return cls(service, uid, " ".join(argv[:2]), words, keys, flags)

    def word(self, at: int) -> str:
        return self.words[at] if at < len(self.words) else ""

    def field(self, at: int, known: Sequence[str]) -> str:
        """The name of a field, also with underscores."""
        name = self.word(at).replace("_", "-")
        if name not in known:
            raise Refused(f"unknown field '{self.word(at)}'")
        return name

    def server(self, name: str) -> Server:
        """The server with a name."""
        found = self.service.named(name)
        if found is None:
            raise Refused(f"server '{name}' does not exist")
        return found

    def owned(self, name: str) -> Server:
        """Likewise, if the caller may change it."""
        found = self.server(name)
        if self.uid not in (0, found.uid):
            raise Refused(
                f"Insufficient privileges for UID {self.uid}. '{self.command.upper()}' requires server owner."
            )
        return found

    def servers(self) -> list[Server]:
        """The one that was said, or all."""
        named = self.keys.get("server")
        return [self.server(named)] if named else self.service.servers

    def folder(self, *names: str) -> str:
        """Where a socket is."""
        return "/".join((self.service.folder, *names))

    def limit(self, server: Server, space: str) -> None:
        """Give a namespace the limits that were said."""
        if any(client.space == space for client in server.clients):
            raise Refused(f"namespace '{space}' has active clients")
        limits = server.spaces[space]
        percent = self.keys.get("active-thread-percentage")
        memory = self.keys.get("pinned-memory-limit")
        priority = self.keys.get("client-priority")
        if percent is None and memory is None and priority is None:
            raise Refused("at least one option is required")
        if percent is not None and not (percent.isdecimal() and 0 < int(percent) <= _WHOLE):
            raise Refused(f"invalid active thread percentage '{percent}'")
        size = None if memory is None else strict_size(memory)
        if memory is not None and not size:
            raise Refused(f"invalid memory limit '{memory}'")
        if priority not in (None, "0", "1"):
            raise Refused(f"invalid client priority '{priority}'")
        limits.percent = self._clamped("percent", int(percent)) if percent else limits.percent
        limits.priority = int(priority or limits.priority)
        if size:
            limits.memory[""] = int(self._clamped("memory", size))

    def listed(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        """As a table, or as was said."""
        shape, _, header = self.keys.get("format", "table").partition(",")
        heads = [] if header == "noheader" else [columns]
        if shape == "csv":
            return "\n".join(",".join(row) for row in [*heads, *rows])
        every = [*([[name.upper() for name in columns]] if heads else []), *rows]
        widths = [max((len(row[at]) for row in every), default=0) for at in range(len(columns))]
        return "\n".join(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in every
        )

    def _clamped(self, what: str, value: float) -> float:
        met = trouble.met(self.service.tool, what)
        return min(value, met.value) if met and met.kind == trouble.CLAMP else value
