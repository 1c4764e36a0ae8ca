"""Opaque parameters of claims and classes: the kinds of NVIDIA's own driver, with the same fields.

What a field says is checked here; whether this driver can do it is checked in `prepare`, where the reason for a no
can be told. Kinds of the compute domain driver are that driver's.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pydra_core.quantity import parse

API_VERSION = "resource.nvidia.com/v1beta1"
_MIB = 1 << 20

Interval = Literal["Default", "Short", "Medium", "Long"]
INTERVALS: tuple[Interval, ...] = ("Default", "Short", "Medium", "Long")
"""In the order of the numbers that `nvidia-smi compute-policy --set-timeslice` takes."""
Strategy = Literal["TimeSlicing", "MPS"]


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Decoded strictly: a misspelt field would silently give a claim what nobody asked for."""


class TimeSlicingConfig(_Model, frozen=True):
    """How long each program has the GPU before the next one is let in."""

    interval: Interval = "Default"


class MpsConfig(_Model, frozen=True):
    """Limits of each client of the MPS daemon."""

    default_active_thread_percentage: (
        Annotated[int, Meta(ge=1, le=100, description="Share of the multiprocessors.")] | None
    ) = None
    default_pinned_device_memory_limit: (
        Annotated[str, Meta(description="Quantity of device memory.")] | None
    ) = None
    default_per_device_pinned_memory_limit: dict[str, str] = {}

    def __post_init__(self) -> None:
        limits = {
            f"{{{device}}}": text
            for device, text in self.default_per_device_pinned_memory_limit.items()
        }
        limits |= {"": self.default_pinned_device_memory_limit or "1Mi"}
        for device, text in limits.items():
            where = (
                "defaultPerDevicePinnedMemoryLimit" if device else "defaultPinnedDeviceMemoryLimit"
            )
            try:
                enough = parse(text).value() >= _MIB
            except ValueError:
                raise ValueError(f"{where}: must be a quantity, such as 8Gi") from None
            if not enough:
                raise ValueError(f"{where}: must be 1Mi at least: MPS counts in whole MiB")


class GpuSharing(_Model, frozen=True):
    """How programs of one claim share a GPU."""

    strategy: Strategy
    time_slicing_config: TimeSlicingConfig | None = None
    mps_config: MpsConfig | None = None

    def __post_init__(self) -> None:
        wrong = "mpsConfig" if self.strategy == "TimeSlicing" and self.mps_config else ""
        wrong = (
            "timeSlicingConfig" if self.strategy == "MPS" and self.time_slicing_config else wrong
        )
        if wrong:
            raise ValueError(
                f"{wrong}: goes with the other strategy; leave it out or change strategy"
            )


class MigDeviceSharing(_Model, frozen=True):
    """How programs of one claim share a MIG device. Time slices have no length to choose there."""

    strategy: Strategy
    mps_config: MpsConfig | None = None

    def __post_init__(self) -> None:
        if self.strategy == "TimeSlicing" and self.mps_config:
            raise ValueError("mpsConfig: goes with strategy MPS; leave it out or change strategy")


class GpuConfig(_Model, frozen=True):
    """Parameters of whole GPUs."""

    api_version: Literal["resource.nvidia.com/v1beta1"]
    kind: Literal["GpuConfig"]
    sharing: GpuSharing | None = None


class MigDeviceConfig(_Model, frozen=True):
    """Parameters of MIG devices."""

    api_version: Literal["resource.nvidia.com/v1beta1"]
    kind: Literal["MigDeviceConfig"]
    sharing: MigDeviceSharing | None = None


class Iommu(_Model, frozen=True):
    """Which interface to the IOMMU a virtual machine gets."""

    backend_policy: Literal["LegacyOnly", "PreferIommuFD"] = "LegacyOnly"
    enable_api_device: bool | None = msgspec.field(name="enableAPIDevice", default=None)


class VfioDeviceConfig(_Model, frozen=True):
    """Parameters of GPUs handed to virtual machines, which this driver does not do."""

    api_version: Literal["resource.nvidia.com/v1beta1"]
    kind: Literal["VfioDeviceConfig"]
    iommu: Iommu | None = None


Parameters = GpuConfig | MigDeviceConfig | VfioDeviceConfig
