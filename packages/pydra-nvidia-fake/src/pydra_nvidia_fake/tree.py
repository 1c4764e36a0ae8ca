"""The files of a machine with GPUs: what the kernel shows below /proc, /sys and /dev, and what a driver installs.

Written once, when the machine is built. What the kernel shows of partitions changes with them; the stub does that.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pydra_nvidia_fake import installed
from pydra_nvidia_fake.description import Description
from pydra_nvidia_fake.filling import roots
from pydra_nvidia_fake.layout import Gpu, State

MAJOR, UVM, CAPS, IMEX, SWITCH = 195, 511, 235, 234, 236
_CONTROL, _MODESET = 255, 254
_FIRST_CAP, _CAPS_OF_GPU, _CAPS_OF_INSTANCE = 3, 135, 9
_MOST_INSTANCE, _MOST_COMPUTE = 15, 8
CAPABILITIES = "proc/driver/nvidia/capabilities"


class Tree:
    """Writes below `root`; the driver's own files below `driver_root` in it."""

    def __init__(self, root: Path, driver_root: str) -> None:
        self.root = root
        self.driver = root / driver_root.strip("/")

    def write(self, state: State, description: Description) -> None:
        """Everything but the stub and its state."""
        gpus = state.gpus[: state.n_gpus]
        self._proc(gpus, description)
        for gpu, root in zip(gpus, roots(description), strict=True):
            self._sysfs(gpu, root)
        self._nodes(gpus, description)
        installed.write(self.driver, description.driver, description.mps)
        for name in ("run/nvidia-persistenced/socket", "run/nvidia-fabricmanager/socket"):
            if "persistenced" in name or description.model.get("fabric"):
                os.mknod(self._placed(name), stat.S_IFSOCK | 0o666)

    def information(self, gpu: Gpu) -> None:
        """What the kernel module says of one GPU."""
        self._text(
            f"proc/driver/nvidia/gpus/{bus_id(gpu)}/information",
            f"Model: \t\t {gpu.name.decode()}\nIRQ:   \t\t {64 + gpu.index}\n"
            f"GPU UUID: \t {gpu.uuid.decode()}\nVideo BIOS: \t {gpu.vbios.decode()}\n"
            f"Bus Type: \t PCIe\nDMA Size: \t 52 bits\nDMA Mask: \t 0xfffffffffffff\n"
            f"Bus Location: \t {bus_id(gpu)}\nDevice Minor: \t {gpu.minor}\n"
            "GPU Firmware: \t on\nGPU Excluded:\t No\n",
        )

    def _proc(self, gpus: list[Gpu], description: Description) -> None:
        self.version(description.driver)
        self._text("proc/driver/nvidia/params", "ModifyDeviceFiles: 1\nDeviceFileMode: 438\n")
        devices = {MAJOR: "nvidia-frontend", UVM: "nvidia-uvm", CAPS: "nvidia-caps"}
        devices |= {IMEX: "nvidia-caps-imex-channels", SWITCH: "nvidia-nvswitch"}
        rows = "".join(f"{major:3} {name}\n" for major, name in sorted(devices.items()))
        self._text("proc/devices", f"Character devices:\n  1 mem\n{rows}\nBlock devices:\n  8 sd\n")
        lines = ["config 1", "monitor 2"]
        for gpu in gpus:
            self.information(gpu)
            (self.root / CAPABILITIES / f"gpu{gpu.minor}/mig").mkdir(parents=True)
        for number in range(max((gpu.minor for gpu in gpus), default=0) + 1):
            lines += _caps(number)
        self._text("proc/driver/nvidia-caps/mig-minors", "\n".join(lines) + "\n")
        for name, minor in (("config", 1), ("monitor", 2)):
            said = f"DeviceFileMinor: {minor}\nDeviceFileMode: 256\nDeviceFileModify: 1\n"
            self._text(f"{CAPABILITIES}/mig/{name}", said)

    def version(self, driver: str) -> None:
        """The kernel module's version."""
        self._text(
            "proc/driver/nvidia/version",
            f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {driver}  Release Build\n"
            "GCC version:  gcc version 12.2.0\n",
        )
        self._text("sys/module/nvidia/version", f"{driver}\n")

    def _sysfs(self, gpu: Gpu, root: str) -> None:
        address = bus_id(gpu)
        inner = f"devices/{root}/{root[3:]}:01.{gpu.index % 8}/{address}"
        real = f"sys/{inner}"
        values = {
            "vendor": "0x10de",
            "device": f"0x{gpu.pci_device >> 16:04x}",
            "class": "0x030200",
            "numa_node": str(gpu.numa),
            "local_cpulist": f"{gpu.numa * 16}-{gpu.numa * 16 + 15}",
            "current_link_speed": "32.0 GT/s PCIe",
            "current_link_width": "16",
        }
        for name, value in values.items():
            self._text(f"{real}/{name}", value + "\n")
        for name in (f"card{gpu.index + 1}", f"renderD{128 + gpu.index}"):
            self._text(f"{real}/drm/{name}/uevent", f"DEVNAME=dri/{name}\n")
        self._link(f"sys/bus/pci/devices/{address}", f"../../../{inner}")
        self._link(f"{real}/driver", "../../../../bus/pci/drivers/nvidia")

    def _nodes(self, gpus: list[Gpu], description: Description) -> None:
        for gpu in gpus:
            self._node(f"dev/nvidia{gpu.minor}", MAJOR, gpu.minor)
            self._node(f"dev/dri/card{gpu.index + 1}", 226, gpu.index + 1)
            self._node(f"dev/dri/renderD{128 + gpu.index}", 226, 128 + gpu.index)
            for kind, name in (("card", f"card{gpu.index + 1}"), ("render", f"renderD{128 + gpu.index}")):  # fmt: skip
                self._link(f"dev/dri/by-path/pci-{bus_id(gpu)}-{kind}", f"../{name}")
        self._node("dev/nvidiactl", MAJOR, _CONTROL)
        self._node("dev/nvidia-modeset", MAJOR, _MODESET)
        self._node("dev/nvidia-uvm", UVM, 0)
        self._node("dev/nvidia-uvm-tools", UVM, 1)
        for minor in (1, 2):
            self._node(f"dev/nvidia-caps/nvidia-cap{minor}", CAPS, minor)
        if description.model.get("links") and description.model.get("fabric"):
            self._node("dev/nvidia-nvswitchctl", SWITCH, 255)
        for channel in range(description.imex_channels):
            self._node(f"dev/nvidia-caps-imex-channels/channel{channel}", IMEX, channel)

    def _node(self, path: str, major: int, minor: int) -> None:
        """A device node; a named pipe in its place for users who may not make one."""
        place = self._placed(path)
        try:
            os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        except PermissionError:
            os.mkfifo(place, 0o666)

    def _text(self, path: str, content: str) -> None:
        self._placed(path).write_text(content, encoding="utf-8")

    def _link(self, path: str, target: str) -> None:
        self._placed(path).symlink_to(target)

    def _placed(self, path: str) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


def bus_id(gpu: Gpu) -> str:
    """A GPU's address as the kernel spells it."""
    return f"{gpu.domain:04x}:{gpu.bus:02x}:{gpu.device:02x}.0"


def _caps(gpu: int) -> list[str]:
    lines = []
    for instance in range(_MOST_INSTANCE):
        minor = _FIRST_CAP + _CAPS_OF_GPU * gpu + _CAPS_OF_INSTANCE * instance
        lines.append(f"gpu{gpu}/gi{instance}/access {minor}")
        lines += [f"gpu{gpu}/gi{instance}/ci{c}/access {minor + 1 + c}" for c in range(_MOST_COMPUTE)]  # fmt: skip
    return lines
