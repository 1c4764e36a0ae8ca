"""What a GPU is and how it is set, as NVML tells: everything of the snapshot but partitions, links and health."""

from __future__ import annotations

from typing import Any

from pydra_nvidia._nvml.asking import Asking
from pydra_nvidia._nvml.words import (
    ADDRESSING,
    ARCHITECTURES,
    BRANDS,
    COMPUTE_MODES,
    VIRTUALIZATION,
    word,
)

_MEMORY_V2 = 0x02000028
_known: dict[int, dict[str, Any]] = {}
"""What each GPU said of itself before it was lost. Indices stay for as long as this process has NVML."""


def identity(index: int, gpu: Asking) -> dict[str, Any]:
    """Names of a GPU: UUID, minor number, bus ID, model. Of a lost one, what it said before."""
    told = {"uuid": gpu("nvmlDeviceGetUUID"), "minor": gpu("nvmlDeviceGetMinorNumber")}
    told |= {"name": gpu("nvmlDeviceGetName"), **_location(gpu)}
    known = _known.setdefault(index, {})
    known |= {key: value for key, value in told.items() if value is not None}
    return dict(known)


def uuid(index: int, gpu: Asking) -> str | None:
    """The UUID alone."""
    told = gpu("nvmlDeviceGetUUID") or _known.get(index, {}).get("uuid")
    return None if told is None else str(told)


def make(gpu: Asking) -> dict[str, Any]:
    """What kind of GPU it is."""
    capability = gpu("nvmlDeviceGetCudaComputeCapability")
    return {
        "brand": word(BRANDS, gpu("nvmlDeviceGetBrand"), "brand"),
        "architecture": word(ARCHITECTURES, gpu("nvmlDeviceGetArchitecture"), "architecture"),
        "compute_capability": ".".join(map(str, capability)) if capability else None,
        "serial": gpu("nvmlDeviceGetSerial"),
        "board_part": gpu("nvmlDeviceGetBoardPartNumber"),
        "vbios": gpu("nvmlDeviceGetVbiosVersion"),
        "module_id": gpu("nvmlDeviceGetModuleId"),
        "cores": gpu("nvmlDeviceGetNumGpuCores"),
        "memory": _memory(gpu),
    }


def modes(gpu: Asking) -> dict[str, Any]:
    """How it is set."""
    persistence = gpu("nvmlDeviceGetPersistenceMode")
    return {
        "addressing_mode": word(ADDRESSING, gpu("nvmlDeviceGetAddressingMode"), "mode"),
        "virtualization": word(VIRTUALIZATION, gpu("nvmlDeviceGetVirtualizationMode"), "mode"),
        "persistence": None if persistence is None else bool(persistence),
        "compute_mode": word(COMPUTE_MODES, gpu("nvmlDeviceGetComputeMode"), "mode"),
        "power_limit": gpu("nvmlDeviceGetEnforcedPowerLimit"),
        "ecc": mode(gpu("nvmlDeviceGetEccMode")),
        "mig": mode(gpu("nvmlDeviceGetMigMode")),
    }


def mode(told: list[int] | None) -> dict[str, bool] | None:
    """A mode that takes effect at a reset."""
    return {"current": bool(told[0]), "pending": bool(told[1])} if told else None


def address(domain: int, bus: int, device: int) -> str:
    """A PCI address as Kubernetes spells it."""
    return f"{domain:04x}:{bus:02x}:{device:02x}.0"


def _location(gpu: Asking) -> dict[str, Any]:
    pci = gpu("nvmlDeviceGetPciInfo")
    if pci is None:
        return {}
    return {
        "bus_id": address(pci.domain, pci.bus, pci.device),
        "pci_device": pci.pciDeviceId,
        "pci_subsystem": pci.pciSubSystemId,
    }


def _memory(gpu: Asking) -> dict[str, int] | None:
    """The older structure has no `reserved`, and counts it as used."""
    told = gpu("nvmlDeviceGetMemoryInfo", _MEMORY_V2)
    if told is not None:
        return {"total": told.total, "reserved": told.reserved}
    told = gpu("nvmlDeviceGetMemoryInfo")
    return None if told is None else {"total": told.total}
