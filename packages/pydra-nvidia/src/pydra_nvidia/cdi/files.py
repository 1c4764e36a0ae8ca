"""The driver's files that programs in containers need: they must be of the kernel module's version, so they are mounted.

Found by looking, not by a list that ages: each library of the driver's version beside `libcuda`, and what is known of
programs, firmware, configuration and sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydra_core import HostError
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.library import FOLDERS

_PROGRAMS = (
    "nvidia-smi",
    "nvidia-debugdump",
    "nvidia-persistenced",
    "nvidia-cuda-mps-control",
    "nvidia-cuda-mps-server",
    "nvidia-imex",
    "nvidia-imex-ctl",
)
_PROGRAM_FOLDERS = ("usr/bin", "usr/sbin", "bin", "sbin", "opt/bin")
_FIRMWARE_FOLDERS = ("lib/firmware", "usr/lib/firmware", "lib/firmware/updates")
_CONFIGURATION = (
    "usr/share/nvidia/nvoptix.bin",
    "usr/share/glvnd/egl_vendor.d/10_nvidia.json",
    "usr/share/egl/egl_external_platform.d/10_nvidia_wayland.json",
    "usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json",
    "etc/vulkan/icd.d/nvidia_icd.json",
    "etc/vulkan/implicit_layer.d/nvidia_layers.json",
    "usr/share/vulkan/icd.d/nvidia_icd.json",
    "usr/share/vulkan/implicit_layer.d/nvidia_layers.json",
)
_SOCKETS = ("run/nvidia-persistenced/socket", "run/nvidia-fabricmanager/socket")


@dataclass(frozen=True, slots=True)
class Library:
    """One shared library: its own file, and the names it is looked up by, such as `libcuda.so.1`."""

    path: str
    links: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class DriverFiles:
    """What of the driver goes into containers. All paths as in the container, below `root` on the host."""

    root: Root
    version: str
    libraries: tuple[Library, ...]
    programs: tuple[str, ...]
    others: tuple[str, ...]
    sockets: tuple[str, ...]


def find(root: Root, version: str, host: Root) -> DriverFiles:
    """Look for the driver's files.

    Args:
        root: where the driver is installed.
        version: the driver's, as in the libraries' names.
        host: where the daemons' sockets are.

    Raises:
        HostError: there is no `libcuda` of that version: the driver is installed only in part, or elsewhere.
    """
    folders = [root.path(folder) for folder in FOLDERS]
    main = next((f for f in folders if (f / f"libcuda.so.{version}").is_file()), None)
    if main is None:
        raise HostError(
            f"NVIDIA driver {version}: no libcuda.so.{version} below {root.host}; install the driver's libraries for"
            " CUDA, or set NVIDIA_DRIVER_ROOT to where they are"
        )
    firmware = (f"{folder}/nvidia/{version}" for folder in _FIRMWARE_FOLDERS)
    blobs = (p for folder in firmware for p in sorted(root.path(folder).glob("gsp*.bin")))
    return DriverFiles(
        root=root,
        version=version,
        libraries=tuple(_libraries(root, main, version)),
        programs=tuple(_programs(root)),
        others=(*_once(root, blobs), *(f"/{f}" for f in _CONFIGURATION if root.path(f).is_file())),
        sockets=tuple(f"/{socket}" for socket in _SOCKETS if host.path(socket).exists()),
    )


def _libraries(root: Root, main: Path, version: str) -> Iterator[Library]:
    for folder in (main, main / "vdpau"):
        links = _links(folder)
        for path in sorted(folder.glob(f"*.so.{version}")):
            if path.is_file() and not path.is_symlink():
                yield Library(root.inner(path), tuple(sorted(links.get(path.name, ()))))


def _links(folder: Path) -> dict[str, set[str]]:
    """The symbolic links of a folder that lead, perhaps through each other, to a file in it, by that file's name."""
    try:
        targets = {p.name: p.readlink().name for p in folder.iterdir() if p.is_symlink()}
    except OSError:
        return {}
    found: dict[str, set[str]] = {}
    for name in targets:
        end, seen = name, set[str]()
        while end in targets and end not in seen:
            seen.add(end)
            end = targets[end]
        found.setdefault(end, set()).add(name)
    return found


def _programs(root: Root) -> Iterator[str]:
    for name in _PROGRAMS:
        paths = (f"{folder}/{name}" for folder in _PROGRAM_FOLDERS)
        if path := next((p for p in paths if root.path(p).is_file()), None):
            yield f"/{path}"


def _once(root: Root, paths: Iterable[Path]) -> Iterator[str]:
    """Paths in the container, each file once although `/lib` may be a link to `/usr/lib`."""
    seen: set[Path] = set()
    for path in paths:
        if (real := path.resolve()) not in seen:
            seen.add(real)
            yield root.inner(path)
