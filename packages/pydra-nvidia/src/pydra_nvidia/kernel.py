"""What the kernel module says of the GPUs, without NVML: for a GPU that NVML cannot be asked about any more.

Read from `/proc/driver/nvidia/gpus`, where every GPU keeps its place until the module is unloaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pydra_core.values import pci_bus_id

GPUS = "proc/driver/nvidia/gpus"
_LINE = re.compile(r"^([^:\n]+):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_UUID = re.compile(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class KernelGpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as the kernel module has it. The UUID is told only once the GPU was opened by somebody."""

    bus_id: str
    minor: int | None = None
    uuid: str | None = None
    name: str | None = None


def kernel_gpus(host: Path) -> tuple[KernelGpu, ...]:
    """The GPUs below `host`, by bus ID; none where the kernel module is not loaded, or hides them."""
    try:
        folders = sorted((host / GPUS).iterdir())
    except OSError:
        return ()
    return tuple(_read(folders))


def _read(folders: list[Path]) -> Iterator[KernelGpu]:
    for folder in folders:
        try:
            bus_id = pci_bus_id(folder.name)
            text = (folder / "information").read_text(encoding="utf-8", errors="replace")
        except (ValueError, OSError):  # no GPU, or it went while we read
            continue
        said = {key.strip(): value for key, value in _LINE.findall(text)}
        minor, uuid = said.get("Device Minor", ""), said.get("GPU UUID", "")
        yield KernelGpu(
            bus_id=bus_id,
            minor=int(minor) if minor.isascii() and minor.isdigit() else None,
            uuid=uuid if _UUID.fullmatch(uuid) else None,
            name=said.get("Model") or None,
        )
