"""NVIDIA's program for MPS: where it is, and how it is run from a driver root.

A root that is a system of its own is entered (chroot), because its program needs that system's C library. Another
holds the driver's files alone: its program runs here, with the root's libraries. `/` needs neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydra_core.errors import HostError
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.library import FOLDERS, found_programs, resolved
from pydra_nvidia.mps import launching
from pydra_nvidia.mps.folders import GpuFolder

NAME = "nvidia-cuda-mps-control"
_LOADERS = ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1")
_VERSION = "sys/module/nvidia/version"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Order:
    """A program to run, in words of `subprocess`."""

    argv: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True, slots=True)
class Tool:
    """The program of one driver root.

    Attributes:
        path: The file.
        root: The driver root, as this process sees it.
        entered: Whether the root is a system of its own.
        private: Whether programs can have mounts of their own.
        identity: Changes with the program or the driver: what was found out about them is to be found out again.
    """

    path: Path
    root: Path
    entered: bool
    private: bool
    identity: str

    def daemon(self, folder: GpuFolder, flags: Sequence[str], env: Mapping[str, str]) -> Order:
        """Run as a daemon, in the foreground, noting which process it is."""
        binds = [*self._shown(folder), *self._own_shm(folder)]
        return self._launched(
            binds, str(folder.process), ("-f", *flags), self._environ(folder, env)
        )

    def front_end(self, folder: GpuFolder, flags: Sequence[str]) -> Order:
        """Run as what passes commands from its standard input to the daemon of a folder."""
        env = self._environ(folder, {})
        if not self.entered:
            return Order((str(self.path), *flags), env)
        return self._launched(self._shown(folder), "", flags, env)

    def shm(self, folder: GpuFolder) -> Path:
        """What a daemon has as `/dev/shm`, and its clients must have."""
        return folder.shm if self.private else Path("/dev/shm")  # noqa: S108 (shared on purpose)

    def _launched(
        self,
        binds: Sequence[tuple[str, str]],
        note: str,
        arguments: Sequence[str],
        env: dict[str, str],
    ) -> Order:
        program = f"/{self.path.relative_to(self.root)}" if self.entered else str(self.path)
        return _launch(
            env,
            private=bool(binds),
            binds=list(binds),
            note=note,
            root=str(self.root) if self.entered else "",
            program=[program, *arguments],
        )

    def _shown(self, folder: GpuFolder) -> list[tuple[str, str]]:
        """What has to be mounted for a root that is entered to have the folder where everybody has it."""
        if not self.entered:
            return []
        inner = self.root / str(folder.path).lstrip("/")
        try:
            if inner.samefile(folder.path):
                return []
        except OSError:
            pass
        if not self.private:
            raise HostError(
                f"MPS keeper: the driver root {self.root} does not show the folder {folder.path}, and this process may"
                " not mount it there; run the keeper privileged, or mount the folder into the root"
            )
        try:
            inner.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise HostError(
                f"MPS keeper: the driver root {self.root} does not show the folder {folder.path}, and it cannot be made"
                f" there: {err.strerror}; mount it into the root, or set NVIDIA_MPS_DIR to a folder it has"
            ) from err
        return [(str(folder.path), str(inner))]

    def _own_shm(self, folder: GpuFolder) -> list[tuple[str, str]]:
        if not self.private:
            return []
        at = self.root / "dev/shm" if self.entered else Path("/dev/shm")  # noqa: S108 (to be covered)
        return [(str(folder.shm), str(at))]

    def _environ(self, folder: GpuFolder, more: Mapping[str, str]) -> dict[str, str]:
        """What this process has, without what somebody set for MPS or CUDA here."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("CUDA_")}
        env["CUDA_MPS_PIPE_DIRECTORY"] = str(folder.pipe)
        env["CUDA_MPS_LOG_DIRECTORY"] = str(folder.log)
        if self.entered:
            env["PATH"] = _SYSTEM_PATH
        elif self.root != Path("/"):
            folders = [path for name in FOLDERS if (path := self.root / name).is_dir()]
            env["LD_LIBRARY_PATH"] = ":".join(map(str, folders))
            env["PATH"] = f"{self.path.parent}:{env.get('PATH') or _SYSTEM_PATH}"
        return {**env, **more}


def find(root: Root, host: Path, *, private: bool) -> Tool:
    """The tool below a driver root.

    Args:
        root: where the driver is installed.
        host: what this process sees as the host's `/`, for the version of the kernel module.
        private: whether programs can have mounts of their own, as `can_mount` tells.

    Raises:
        HostError: there is none.
    """
    path = next(found_programs(root.seen, NAME), None)
    if path is None:
        raise HostError(
            f"MPS keeper: the driver root {root.seen} has no {NAME}; install the driver's compute utilities, or set"
            " NVIDIA_DRIVER_ROOT"
        )
    stat = path.stat()
    entered = root.seen != Path("/") and any(_is_there(root.seen, name) for name in _LOADERS)
    identity = f"{path} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} driver {_version(host)}"
    return Tool(path, root.seen, entered, private, identity)


def can_mount() -> bool:
    """Whether this process may give programs mounts of their own; found by trying."""
    order = _launch(dict(os.environ), private=True, binds=[], note="", root="", program=[])
    tried = subprocess.run(order.argv, env=order.env, capture_output=True, check=False)
    return tried.returncode == 0


def _launch(env: dict[str, str], **order: object) -> Order:
    return Order((sys.executable, "-I", "-S", str(launching.__file__), json.dumps(order)), env)


def _is_there(root: Path, name: str) -> bool:
    path = resolved(root, root / name)
    return path is not None and path.exists()


def _version(host: Path) -> str:
    try:
        return (host / _VERSION).read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"
