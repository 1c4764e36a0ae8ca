"""One command of the second protocol: what it says, who says it, and what most of them need to find."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydra_nvidia_fake.mps import trouble
from pydra_nvidia_fake.mps.limits import Limits, typed_percent
from pydra_nvidia_fake.mps.machine import Gpu, pick
from pydra_nvidia_fake.mps.servers import Server
from pydra_nvidia_fake.mps.service import Service


@dataclass(frozen=True, slots=True)
class Call:
    """A command without its name. A word that is not there is empty, and then a number is 0, as for the real one."""

    service: Service
    uid: int
    words: list[str]

    def word(self, at: int) -> str:
        return self.words[at] if at < len(self.words) else ""

    def number(self, at: int) -> int:
        """What a word begins with, as a number."""
        found = re.match(r"[+-]?\d+", self.word(at))
        return int(found[0]) if found else 0

    def server(self) -> Server | str:
        """The one whose process ID comes first, or what is said if there is none."""
        return self.service.server(self.number(0)) or f"Server {self.number(0)} not found"

    def own_server(self) -> Server | str:
        """Likewise, if the caller may change it."""
        server = self.server()
        if isinstance(server, Server) and self.uid not in (0, server.uid):
            return f"Insufficient privileges for UID {self.uid}. Only the root user may change settings for another user's server."
        return server

    def device(self, server: Server | str) -> tuple[Server, Gpu] | str:
        """A server and its GPU, which comes second."""
        if isinstance(server, str):
            return server
        gpu = pick(server.gpus, self.word(1))
        return (server, gpu) if gpu else "Invalid device ordinal!"

    def not_the_owner(self) -> str:
        """What is said to those who may not change the daemon's own settings."""
        if self.uid in (0, self.service.uid):
            return ""
        return (
            f"Insufficient privileges for UID {self.uid}. Control deamon settings can only be modified by the user"
            " started it or by the root user."
        )

    def percentage(self, limits: Limits, at: int) -> str:
        """Set a percentage; the answer is the one that holds then, also if that was no percentage."""
        percent = typed_percent(self.word(at))
        if percent is None:
            self.service.log("Invalid percentage, expected between (0.0, 100.0]")
        else:
            limits.percent = self.clamped("percent", percent)
        return f"{limits.percent:.1f}"

    def clamped(self, what: str, value: float) -> float:
        """What is taken of a value: all of it, if nothing goes wrong."""
        met = trouble.met(self.service.tool, what)
        return min(value, met.value) if met and met.kind == trouble.CLAMP else value
