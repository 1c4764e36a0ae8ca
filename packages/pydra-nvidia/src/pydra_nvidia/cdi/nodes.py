"""Device nodes, looked at when a claim is prepared: numbers change when a kernel module is loaded again."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydra_cdi import DeviceNode
from pydra_core import DeviceGoneError
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.gpus import Gpu, MigDevice

CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
"""What every container with a GPU gets; `nvidiactl` must be there, the others where their modules are loaded."""
_CAPS, _CHANNELS = "nvidia-caps", "nvidia-caps-imex-channels"
_MINORS = "proc/driver/nvidia-caps/mig-minors"
_KINDS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}


class Nodes:
    """Makes the nodes of devices.

    Args:
        host: what stands for `/`, where the kernel shows `/proc` and `/sys`.
        root: where `/dev` is.
    """

    def __init__(self, host: Path, root: Root) -> None:
        self._host = host
        self._root = root

    def control(self) -> list[DeviceNode]:
        """The nodes all devices share.

        Raises:
            DeviceGoneError: there is no `/dev/nvidiactl`: the kernel module is not loaded, or its nodes not made.
        """
        first, *others = CONTROL
        return [self._needed(first), *(n for name in others if (n := self._there(name)))]

    def gpu(self, gpu: Gpu) -> list[DeviceNode]:
        """A GPU's own node, and those for graphics, which the kernel has for display adapters.

        Raises:
            DeviceGoneError: the node is not there.
        """
        return [self._needed(f"nvidia{gpu.minor}"), *self._graphics(gpu)]

    def mig(self, gpu: Gpu, mig: MigDevice) -> list[DeviceNode]:
        """The GPU's node, and the capabilities of the GPU instance and the compute instance.

        Their numbers are the kernel's; the nodes need not exist on the host.

        Raises:
            DeviceGoneError: the instance is gone.
        """
        instance = f"gpu{gpu.minor}/gi{mig.gpu_instance}"
        accesses = (f"{instance}/access", f"{instance}/ci{mig.compute_instance}/access")
        for access in accesses:
            self._check_instance(gpu, access)
        minors, major = self._minors(), self._major(_CAPS)
        caps = [(minors.get(access), access) for access in accesses]
        for minor, access in caps:
            if minor is None or major is None:
                raise _gone(f"capability {access}", "has no device number; is nvidia-caps loaded?")
        return [
            self._needed(f"nvidia{gpu.minor}"),
            *(
                DeviceNode(
                    f"/dev/{_CAPS}/nvidia-cap{minor}", type="c", major=major or 0, minor=minor or 0
                )
                for minor, _ in caps
            ),
        ]

    def is_there(self, gpu: Gpu, mig: MigDevice | None) -> bool:
        """Whether the device still is what it was: the MIG device not destroyed, the whole GPU not partitioned."""
        folder = self._host / "proc/driver/nvidia/capabilities" / f"gpu{gpu.minor}" / "mig"
        if mig is None:
            return not any(folder.glob("gi*"))
        return (folder / f"gi{mig.gpu_instance}/ci{mig.compute_instance}/access").exists()

    def others(self, names: Iterable[str]) -> list[DeviceNode]:
        """Nodes somebody else named, below `/dev`, as far as they are there."""
        return [node for name in names if (node := self._there(name))]

    def channels(self, numbers: tuple[int, ...]) -> list[DeviceNode]:
        """IMEX channels, by which GPUs of several nodes share memory.

        Raises:
            DeviceGoneError: the kernel has none of that number.
        """
        return [self._needed(f"{_CHANNELS}/channel{number}") for number in numbers]

    def _graphics(self, gpu: Gpu) -> Iterator[DeviceNode]:
        folder = self._host / "sys/bus/pci/devices" / (gpu.bus_id or "-") / "drm"
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError:
            return
        for name in names:
            if re.fullmatch(r"(card|renderD)\d+", name) and (node := self._there(f"dri/{name}")):
                yield node

    def _check_instance(self, gpu: Gpu, access: str) -> None:
        gpu_part, _, rest = access.partition("/")
        path = self._host / "proc/driver/nvidia/capabilities" / gpu_part / "mig" / rest
        if not path.exists():
            raise _gone(
                f"MIG instance {access.removesuffix('/access')}",
                f"was destroyed on GPU {gpu.uuid}; delete the claim's pod, the next claim gets what there is now",
            )

    def _minors(self) -> dict[str, int]:
        """Device numbers of capabilities, by path: read, never computed."""
        try:
            lines = (self._host / _MINORS).read_text(encoding="ascii").splitlines()
            return {
                name: int(minor) for name, minor in (line.rsplit(" ", 1) for line in lines if line)
            }
        except (OSError, ValueError):
            return {}

    def _major(self, module: str) -> int | None:
        try:
            text = (self._host / "proc/devices").read_text(encoding="ascii")
        except (OSError, ValueError):
            return None
        found = re.search(rf"^\s*(\d+) {re.escape(module)}$", text, re.MULTILINE)
        return int(found[1]) if found else None

    def _needed(self, name: str) -> DeviceNode:
        node = self._there(name)
        if node is None:
            raise _gone(
                f"device node {self._root.on_host(f'dev/{name}')}",
                "is not there; load the kernel module (nvidia-smi does) and make its nodes (nvidia-modprobe -u -c 0)",
            )
        return node

    def _there(self, name: str) -> DeviceNode | None:
        path = f"dev/{name}"
        try:
            status = os.lstat(self._root.path(path))
        except OSError:
            return None
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return None
        return DeviceNode(
            f"/{path}",
            host_path="" if self._root.host == "/" else self._root.on_host(path),
            type=kind,
            major=os.major(status.st_rdev),
            minor=os.minor(status.st_rdev),
        )


def _gone(what: str, why: str) -> DeviceGoneError:
    return DeviceGoneError(f"{what} {why}", device=what)
