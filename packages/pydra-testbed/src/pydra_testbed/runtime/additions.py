"""What a device plugin adds to a container without CDI: variables, mounts, device nodes, annotations.

The kubelet hands it to the runtime with each start; `runtime` writes it into the OCI spec as containerd does with
what a CRI request carries, before the edits of CDI devices.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydra_testbed.objects import KubeObject
from pydra_testbed.runtime.errors import ContainerError

_LETTERS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}


@dataclass(frozen=True, slots=True)
class HostMount:
    """A file or folder of the host inside the container."""

    host_path: str
    container_path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class HostDevice:
    """A device node of the host, or a folder of them, inside the container; `permissions` as in `rwm`."""

    host_path: str
    container_path: str
    permissions: str


@dataclass(frozen=True, slots=True)
class Additions:
    """All that is added to one container; each name and each path of a container once."""

    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[HostMount, ...] = ()
    devices: tuple[HostDevice, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


def add(spec: KubeObject, additions: Additions, host: Path) -> KubeObject:
    """`spec` with mounts, nodes and annotations; its variables are in it already.

    Device nodes are looked up below `host`. Raises `ContainerError` for one that is not there.
    """
    if not (additions.mounts or additions.devices or additions.annotations):
        return spec
    nodes = [node for device in additions.devices for node in _nodes(device, host)]
    linux = spec["linux"]
    rules = (linux.get("resources") or {}).get("devices") or []
    return {
        **spec,
        "mounts": [*spec["mounts"], *map(_mount, additions.mounts)],
        "annotations": {**spec["annotations"], **dict(additions.annotations)},
        "linux": {
            **linux,
            "devices": [*(linux.get("devices") or []), *(node for node, _ in nodes)],
            "resources": {**linux["resources"], "devices": [*rules, *(rule for _, rule in nodes)]},
        },
    }


def _mount(mount: HostMount) -> KubeObject:
    access = "ro" if mount.read_only else "rw"
    return {
        "destination": mount.container_path,
        "type": "bind",
        "source": mount.host_path,
        "options": ["rbind", "rprivate", access],
    }


def _nodes(device: HostDevice, host: Path) -> Iterator[tuple[KubeObject, KubeObject]]:
    """Each node with the cgroup rule that allows it; a folder stands for the nodes in it."""
    path = host / device.host_path.lstrip("/")
    try:
        if path.is_dir():
            for entry in sorted(path.iterdir()):
                if stat.S_IFMT(entry.stat().st_mode) in _LETTERS:
                    yield _node(entry, f"{device.container_path}/{entry.name}", device.permissions)
        else:
            yield _node(path, device.container_path, device.permissions)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise _failed(f"lstat {device.host_path}: {why}") from error


def _node(path: Path, inside: str, permissions: str) -> tuple[KubeObject, KubeObject]:
    status = path.stat()
    letter = _LETTERS.get(stat.S_IFMT(status.st_mode))
    if letter is None:
        raise _failed(f"{path}: not a device node")
    numbers = {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
    node = {
        "path": inside,
        "type": letter,
        **numbers,
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
    return node, {"allow": True, "type": letter, **numbers, "access": permissions}


def _failed(why: str) -> ContainerError:
    return ContainerError(
        "CreateContainerError",
        f"failed to generate container spec: failed to apply OCI options: {why}",
    )
