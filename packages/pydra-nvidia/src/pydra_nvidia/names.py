"""What devices are called: as NVIDIA's own driver calls them, so that claims and tools need not change.

Minor numbers, not indices: `/dev/nvidiaN` stays when another GPU goes.
"""

from __future__ import annotations

from pydra_core.values import device_name
from pydra_nvidia.gpus import Gpu, MigDevice


def gpu_name(gpu: Gpu) -> str | None:
    """`gpu-<minor>`; None for a GPU whose minor number nobody knows."""
    return None if gpu.minor is None else f"gpu-{gpu.minor}"


def mig_name(gpu: Gpu, mig: MigDevice) -> str | None:
    """`gpu-<minor>-mig-<profile>-<profile ID>-<start>`, and `-ci<ID>` for one of several in a GPU instance.

    It names what the device is and where, not the instance: made again at the same place it is the same device.
    """
    if gpu.minor is None or mig.profile is None or mig.profile_id is None or mig.placement is None:
        return None
    profile = mig.profile.rpartition("c.")[2].replace(".", "")
    place = device_name("gpu", gpu.minor, "mig", profile, mig.profile_id, mig.placement.start)
    neighbours = sum(other.gpu_instance == mig.gpu_instance for other in gpu.mig_devices)
    return f"{place}-ci{mig.compute_instance}" if neighbours > 1 or "c." in mig.profile else place
