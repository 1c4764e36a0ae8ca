"""Where the driver's libraries are below a driver root.

A driver root is `/`, or a folder that an image with the driver was unpacked to or mounted at (`/run/nvidia/driver`,
`/driver-root`). Asked by the worker, which loads NVML from there, and by whoever hands the libraries to containers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

NVML = "libnvidia-ml.so.1"
FOLDERS = (
    *("usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"),
    *("lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"),
    *("usr/local/nvidia/lib64", "run/opengl-driver/lib", "usr/lib/wsl/lib", "usr/lib", "lib"),
)
"""Below a driver root, in the order they are searched: distributions, Google's nodes, NixOS, WSL2."""

PROGRAM_FOLDERS = (
    *("usr/bin", "usr/local/nvidia/bin", "opt/bin", "bin"),
    *("run/opengl-driver/bin", "usr/lib/wsl/lib"),
)
"""Where the driver's programs are below a driver root, in the same way."""

_MOST_LINKS = 40


def found(root: Path, name: str = NVML) -> Iterator[Path]:
    """The files of that name below a driver root, links followed as if the root were `/`."""
    for folder in FOLDERS:
        path = resolved(root, root / folder / name)
        if path is not None and path.is_file():
            yield path


def found_programs(root: Path, name: str) -> Iterator[Path]:
    """The driver's programs of that name below a driver root, links followed as if the root were `/`."""
    for folder in PROGRAM_FOLDERS:
        path = resolved(root, root / folder / name)
        if path is not None and path.is_file():
            yield path


def resolved(root: Path, path: Path) -> Path | None:
    """The end of a path's links; an absolute one starts at `root`, and none leads out of it.

    Returns:
        None for links in a circle.
    """
    todo = list(reversed(path.relative_to(root).parts))
    at = root
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            at = at if at == root else at.parent
            continue
        try:
            target = (at / part).readlink()
        except OSError:  # no link, or nothing there
            at /= part
            continue
        links += 1
        if links > _MOST_LINKS:
            return None
        if target.is_absolute():
            at = root
        todo += reversed([p for p in target.parts if p != "/"])
    return at
