"""Who else of this driver runs on this node: told by locks, so that a killed instance is known to be gone.

An intent in the journal names the instance at work on it. While that one lives, others wait for its claim;
once it is gone, they undo what it began. Of two registered instances the younger publishes slices.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from pydra_core._state.locks import LockFile
from pydra_core.errors import ConfigError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ALONE = "alone"
"""The name of an instance outside a rolling upgrade; there is one at most."""

_NAMES, _ALIVE, _REGISTERED, _GIVES = 1 << 40, 1 << 60, 1 << 61, 1 << 62
_MICROSECONDS, _MILLISECONDS = 1_000, 1_000_000


class Instances:
    """This process among the instances of its driver."""

    def __init__(self, locks: LockFile, name: str, boot: str = "") -> None:
        """Join the instances.

        Args:
            locks: the driver's lock file.
            name: the pod's UID in a rolling upgrade, else `ALONE`.
            boot: the node's boot ID; an instance of another boot is gone.

        Raises:
            ConfigError: an instance of that name is running.
        """
        self.boot = boot
        self._locks = locks
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
        if not locks.take(_NAMES + digest):
            raise ConfigError(
                f"lock file {locks.path}: another driver of this name is running on this node; stop it first, or"
                " give each its pod's UID (POD_UID) for a rolling upgrade",
                key="pod_uid",
                source=str(locks.path),
            )
        self.me = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _MICROSECONDS
        while not locks.take(_ALIVE + self.me):
            self.me += 1

    def is_another_at_work(self, instance: int, boot: str) -> bool:
        """Whether a record's instance is alive and not this one."""
        return (
            instance != self.me
            and boot == self.boot
            and self._locks.held_elsewhere(_ALIVE + instance)
        )

    def set_registered(self, *, registered: bool) -> None:
        """Tell the others whether the kubelet knows this instance."""
        if registered:
            self._locks.take(_REGISTERED + self.me)
        else:
            self._locks.release(_REGISTERED + self.me)

    def set_gives(self, *, gives: bool) -> None:
        """Tell the others whether the kubelet gets extended resources from this instance."""
        if gives:
            self._locks.take(_GIVES + self.me)
        else:
            self._locks.release(_GIVES + self.me)

    @property
    def others_live(self) -> bool:
        """Whether any other instance of the driver runs on this node, whatever its name."""
        return self._locks.held_elsewhere(_NAMES, (1 << 62) - _NAMES)

    @property
    def superseded(self) -> bool:
        """Whether a younger instance is registered, and publishes."""
        return self._is_held_by_younger(_REGISTERED)

    @property
    def gives_no_more(self) -> bool:
        """Whether the kubelet gets extended resources from a younger instance."""
        return self._is_held_by_younger(_GIVES)

    def _is_held_by_younger(self, first: int) -> bool:
        younger = first + self.me + 1
        return self._locks.held_elsewhere(younger, first + _ALIVE - younger)


def milliseconds() -> int:
    """Since the node's boot, also while it slept: the same for all instances."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _MILLISECONDS


def read_boot_id(path: Path) -> str:
    """Read the node's boot ID; empty where there is none, as in some sandboxes."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
