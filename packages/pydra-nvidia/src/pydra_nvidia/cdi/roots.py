"""Where the driver is installed, and how the two names of one folder differ: ours, and the host's.

A driver pod sees the host's driver below a mount (`/driver-root`), while CDI speaks of paths on the host and in the
container. Everything below here works with a `Root` and never joins such paths by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of the host that holds `dev`, or the driver's files.

    Attributes:
        seen: Where this process finds it.
        host: Its path on the host: `/`, `/run/nvidia/driver`.
    """

    seen: Path
    host: str = "/"

    def path(self, inner: str) -> Path:
        """Where this process finds what containers see as `/inner`."""
        return self.seen / inner.lstrip("/")

    def on_host(self, inner: str) -> str:
        """Its path on the host."""
        return f"{self.host.rstrip('/')}/{inner.lstrip('/')}"

    def inner(self, path: Path) -> str:
        """The path in a container of what this process finds at `path`."""
        return f"/{path.relative_to(self.seen)}"
