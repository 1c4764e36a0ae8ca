"""Limits as the tool takes and shows them. Both lose something, as the real one's do; callers must read back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pydra_nvidia_fake.mps.machine import Gpu, pick

MIB, GIB = 1 << 20, 1 << 30
_WRAP = (1 << 64) - 1
_TYPED = re.compile(r"\s*([+-]?\d+)(.?)")
_STRICT = re.compile(r"(\d+)([KMG])B?")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)")
_WHOLE = 100.0
_UNIT = 2
"""SMs are had in pairs (TPCs)."""


@dataclass(slots=True)
class Limits:
    """Of each client. `memory` is in bytes, by what was typed for the device; the latest comes last."""

    percent: float = _WHOLE
    priority: int = 0
    memory: dict[str, int] = field(default_factory=dict)

    def remember(self, device: str, size: int) -> None:
        """Set a limit of memory; none if it is 0."""
        self.memory.pop(device, None)
        if size:
            self.memory[device] = size

    def resolved(self, gpus: list[Gpu]) -> Limits:
        """With devices by UUID, as a server has them: of several for one device the last one counts."""
        found = Limits(self.percent, self.priority)
        for device, size in self.memory.items():
            gpu = pick(gpus, device)
            if gpu is not None:
                found.memory[gpu.uuid] = size
        return found


def typed_size(text: str) -> int:
    """Bytes of a size as the second protocol reads it: some number, and G or else M, whatever that makes of it."""
    found = _TYPED.match(text)
    if not found:
        return 0
    unit = GIB if found[2] in ("G", "g") else MIB
    return int(found[1]) * unit & _WRAP


def strict_size(text: str) -> int | None:
    """Bytes of a size such as 4G, 512M or 1024K."""
    found = _STRICT.fullmatch(text.strip())
    return int(found[1]) << {"K": 10, "M": 20, "G": 30}[found[2]] if found else None


def shown_size(size: int) -> str:
    """As the second protocol shows it: whole gigabytes from one on, rounded down, else megabytes; none is nothing."""
    if not size:
        return ""
    return f"{size // GIB}G" if size >= GIB else f"{size // MIB}M"


def typed_percent(text: str) -> float | None:
    """A percentage above 0 and up to 100, from how the text begins."""
    found = _NUMBER.match(text)
    value = float(found[0]) if found else 0.0
    return value if 0 < value <= _WHOLE else None


def portion(gpu: Gpu, percent: float) -> int:
    """SMs of a percentage of a GPU: rounded down to what can be had."""
    if percent >= _WHOLE:
        return gpu.sm
    return max(_UNIT, int(gpu.sm * percent / _WHOLE) // _UNIT * _UNIT)


def env_memory(text: str, gpus: list[Gpu]) -> dict[str, int]:
    """`CUDA_MPS_PINNED_DEVICE_MEM_LIMIT`, by UUID: `0=1G,1=512MB`, also with UUIDs; what makes no sense is no limit."""
    found: dict[str, int] = {}
    for entry in text.split(","):
        device, _, size = entry.partition("=")
        gpu, value = pick(gpus, device.strip()), strict_size(size)
        if gpu is not None and value:
            found[gpu.uuid] = value
    return found
