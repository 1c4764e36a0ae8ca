"""Which devices the spec directories of a node define, as a runtime sees them.

Runtimes (the testbed's among them) refresh a `Registry` and inject from its snapshot; `watching` refreshes one
whenever a file changes. Rests on the CDI specification, "CDI JSON Definition".
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pydra_cdi._scan import Scanner
from pydra_cdi.reading import SIZE_LIMIT
from pydra_cdi.snapshot import FoundDevice, LoadedSpec, Snapshot

__all__ = ["DEFAULT_DIRECTORIES", "FoundDevice", "LoadedSpec", "Registry", "Snapshot"]

DEFAULT_DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))


class Registry:
    """The spec directories of a node, read when asked to; any thread may ask.

    `snapshot` is what the last `refresh` found, and empty before the first.
    """

    def __init__(
        self, directories: Sequence[Path] = DEFAULT_DIRECTORIES, *, size_limit: int = SIZE_LIMIT
    ) -> None:
        self.directories = tuple(directories)
        self._scanner = Scanner(self.directories, size_limit)
        self.snapshot = self._scanner.snapshot
        self._lock = threading.Lock()

    def refresh(self) -> Snapshot:
        """Read all that changed. Never raises for what it finds: see `Snapshot.errors` and `unread`.

        Returns:
            What the directories define now; the same object as before when nothing changed.
        """
        with self._lock:
            self.snapshot = self._scanner.scan()
            return self.snapshot
