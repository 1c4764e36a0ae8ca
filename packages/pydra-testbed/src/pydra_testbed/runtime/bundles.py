"""Where the runtime keeps what it writes: bundles, logs and pod volumes under one root.

Paths are made of names from the API, checked here, so that no pod reaches outside the root.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pydra_testbed.objects import KubeObject, name_of, namespace_of, uid_of

_SAFE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


class BundleStore:
    """The runtime's directory: `bundles/UID/CONTAINER/ATTEMPT`, `logs/NS_POD_UID/CONTAINER/ATTEMPT.log`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def bundle(self, pod: KubeObject, container: str, attempt: int) -> Path:
        """The OCI bundle of one start of a container; created."""
        path = self._root / "bundles" / _safe(uid_of(pod)) / _safe(container) / str(attempt)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def volume(self, pod: KubeObject, kind: str, name: str) -> Path:
        """Where the kubelet would mount a volume; recorded in config.json, not created."""
        return self._root / "volumes" / _safe(uid_of(pod)) / _safe(kind) / _safe(name)

    def log(self, pod: KubeObject, container: str, attempt: int) -> Path:
        """The log file of one start of a container; its directory is created."""
        folder = f"{_safe(namespace_of(pod))}_{_safe(name_of(pod))}_{_safe(uid_of(pod))}"
        path = self._root / "logs" / folder / _safe(container) / f"{attempt}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def latest_log(self, namespace: str, pod: str, container: str) -> Path | None:
        """The newest log of a container by that name, also of a runtime that was there before."""
        pattern = f"{_safe(namespace)}_{_safe(pod)}_*/{_safe(container)}/*.log"
        logs = (self._root / "logs").glob(pattern)
        return max(logs, key=lambda path: path.stat().st_mtime_ns, default=None)

    def remove_pod(self, pod: KubeObject) -> frozenset[Path]:
        """Delete what belongs to a pod that left the node; returns the logs that are gone."""
        uid = _safe(uid_of(pod))
        shutil.rmtree(self._root / "bundles" / uid, ignore_errors=True)
        gone = frozenset((self._root / "logs").glob(f"*_{uid}/*/*.log"))
        for folder in (self._root / "logs").glob(f"*_{uid}"):
            shutil.rmtree(folder, ignore_errors=True)
        return gone


def _safe(part: str) -> str:
    if not _SAFE.fullmatch(part):
        raise ValueError(f"{part!r} cannot be part of a path: use letters, digits, '-' and '.'")
    return part
