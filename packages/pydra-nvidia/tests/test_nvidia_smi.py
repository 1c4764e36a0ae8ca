"""`nvidia-smi` below a driver root that is another system's: with that root's NVML, and this one's C library."""

from __future__ import annotations

from pydra_nvidia.time_slices import set_time_slice
from pydra_nvidia_fake import FakeHost
from pydra_nvidia_fake.installed import LIBRARIES


async def test_of_the_roots_libraries_it_gets_nvml_alone(tmp_path):
    """The host's C library below a container's loader would end every program at once."""
    host = FakeHost.build("t4x1", tmp_path / "machine", driver_root="/run/nvidia/driver")
    (host.driver_root / LIBRARIES / "libc.so.6").write_text("of another system")
    program = host.driver_root / "usr/bin/nvidia-smi"
    text = program.read_text().replace("#!/bin/sh\n", '#!/bin/sh\ncp /proc/$$/maps "$0.maps"\n')
    program.write_text(text)
    await set_time_slice(host.driver_root, host.gpus[0].uuid, "Long")
    (call,) = host.smi_calls
    assert call.endswith("--set-timeslice 3")
    maps = program.with_name("nvidia-smi.maps").read_text()
    assert str(host.driver_root / LIBRARIES / "libnvidia-ml.so") in maps
