"""What NVIDIA's driver installs, by name: empty files, the links between them, and programs that do next to nothing.

`nvidia-smi` is a script that writes down how it was called; a test says with `nvidia-smi.fails` what it fails with.
`nvidia-cuda-mps-control` and its server do what the real ones would, as `mps` says.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from pydra_nvidia_fake.mps import features

LIBRARIES = "usr/lib/x86_64-linux-gnu"
_VERSIONED = (
    *("libcuda", "libcudadebugger", "libnvidia-allocator", "libnvidia-cfg", "libnvidia-eglcore"),
    *("libnvidia-encode", "libnvidia-fbc", "libnvidia-glcore", "libnvidia-glsi", "libnvidia-glvkspirv"),
    *("libnvidia-gpucomp", "libnvidia-ngx", "libnvidia-nvvm", "libnvidia-opencl", "libnvidia-opticalflow"),
    *("libnvidia-pkcs11-openssl3", "libnvidia-ptxjitcompiler", "libnvidia-rtcore", "libnvidia-tls"),
    *("libnvcuvid", "libnvoptix", "libEGL_nvidia", "libGLESv1_CM_nvidia", "libGLESv2_nvidia", "libGLX_nvidia"),
)  # fmt: skip
_SONAMES = {
    **dict.fromkeys(("libEGL_nvidia", "libGLX_nvidia"), "0"),
    "libGLESv2_nvidia": "2",
    "libnvidia-nvvm": "4",
    **dict.fromkeys(
        ("libnvidia-eglcore", "libnvidia-glcore", "libnvidia-glsi", "libnvidia-glvkspirv"), None
    ),
    **dict.fromkeys(
        ("libnvidia-gpucomp", "libnvidia-pkcs11-openssl3", "libnvidia-rtcore", "libnvidia-tls"),
        None,
    ),
}
_PROGRAMS = (
    *("nvidia-debugdump", "nvidia-persistenced", "nvidia-modprobe"),
    *("nvidia-imex", "nvidia-imex-ctl"),
)
_CONFIGURATION = (
    *("etc/vulkan/icd.d/nvidia_icd.json", "etc/vulkan/implicit_layer.d/nvidia_layers.json"),
    *("usr/share/glvnd/egl_vendor.d/10_nvidia.json", "usr/share/nvidia/nvoptix.bin"),
    *("usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json",),
    *("usr/share/egl/egl_external_platform.d/10_nvidia_wayland.json",),
)
_SMI = """#!/bin/sh
me=$(readlink -f "$0")
echo "$*" >> "$me.calls"
if [ -e "$me.fails" ]; then
    cat "$me.fails" >&2
    exit 6
fi
"""


MPS = "nvidia-cuda-mps-control"
_MPS = """#!/bin/sh
''':'
exec {python} -IS "$0" "$@"
'''
import sys
import types

# Without what the package itself imports: this program must start quickly.
package = types.ModuleType("pydra_nvidia_fake")
package.__path__ = [{package!r}]
sys.modules[package.__name__] = package

from pydra_nvidia_fake.mps.tool import main

sys.exit(main(sys.argv))
"""
_MPS_SERVER = """#!/bin/sh
# Lives for as long as its control daemon holds the other end.
read -r _
"""


def write(root: Path, version: str, mps: Mapping[str, object] | None = None) -> None:
    """Install the driver below `root`, without NVML itself.

    Args:
        root: below which it is installed.
        version: the driver's.
        mps: what its tool for MPS can do, where that is not what this version can; None leaves what was said before.
    """
    libraries = root / LIBRARIES
    (libraries / "vdpau").mkdir(parents=True, exist_ok=True)
    for name in _VERSIONED:
        (libraries / f"{name}.so.{version}").write_bytes(b"")
        soname = _SONAMES.get(name, "1")
        if soname:
            link(libraries / f"{name}.so.{soname}", f"{name}.so.{version}")
    link(libraries / "libcuda.so", "libcuda.so.1")
    (libraries / f"vdpau/libvdpau_nvidia.so.{version}").write_bytes(b"")
    link(libraries / "vdpau/libvdpau_nvidia.so.1", f"libvdpau_nvidia.so.{version}")
    firmware = root / "lib/firmware/nvidia" / version
    firmware.mkdir(parents=True, exist_ok=True)
    for name in ("gsp_ga10x.bin", "gsp_tu10x.bin"):
        (firmware / name).write_bytes(b"")
    for name in _CONFIGURATION:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}\n" if name.endswith(".json") else "", encoding="ascii")
    _programs(root / "usr/bin")
    _mps(root / "usr/bin", version, mps)


def _mps(folder: Path, version: str, said: Mapping[str, object] | None) -> None:
    """MPS has programs of its own package, which a machine may lack."""
    if said is not None and not said.get("installed", True):
        return
    if said is None and not (folder / MPS).exists():
        return
    package = str(Path(__file__).parent)
    scripts = {
        MPS: _MPS.format(python=shlex.quote(sys.executable), package=package),
        "nvidia-cuda-mps-server": _MPS_SERVER,
    }
    for name, script in scripts.items():
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)
    features.write(folder / MPS, version, said)


def _programs(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in _PROGRAMS:
        (folder / name).write_text("#!/bin/sh\n", encoding="ascii")
    (folder / "nvidia-smi").write_text(_SMI, encoding="ascii")
    for name in (*_PROGRAMS, "nvidia-smi"):
        (folder / name).chmod(0o755)


def link(path: Path, target: str) -> None:
    """Make a symbolic link, also in the place of an older one."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)
