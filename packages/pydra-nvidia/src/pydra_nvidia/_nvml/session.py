"""NVML, loaded from the driver root and begun, once in a process.

`pynvml` looks for the library by name alone, so it is loaded here by its path before the first call.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from pydra_core.errors import VendorError
from pydra_nvidia._nvml.errors import BEGIN, meaning, pynvml
from pydra_nvidia.library import FOLDERS, NVML, found

_begun: list[str] = []


def begin(root: str) -> None:
    """Load NVML from a driver root and begin it, unless that was done.

    Raises:
        VendorError: there is no library, or no kernel module; or another root was in use before.
        VendorReloadError: library and kernel module are of different versions.
    """
    if _begun and _begun != [root]:
        raise VendorError(
            f"NVML: is loaded from driver root {_begun[0]}, not {root}; one driver has one root"
        )
    if _begun:
        return
    pynvml.nvmlLib = _library(Path(root))
    try:
        pynvml.nvmlInitWithFlags(pynvml.NVML_INIT_FLAG_NO_GPUS)
    except pynvml.NVMLError as err:
        raise meaning(err, BEGIN) from err
    _begun.append(root)


def of_system(name: str) -> Any:
    """Call a function of pynvml that is about the node.

    Raises:
        PydraError: as it failed.
    """
    try:
        return getattr(pynvml, name)()
    except pynvml.NVMLError as err:
        raise meaning(err, name) from err


def _library(root: Path) -> ctypes.CDLL:
    problems = []
    for path in found(root):
        try:
            return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as err:  # of another architecture, or broken: the next folder may hold ours
            problems.append(str(err))
    if root == Path("/"):
        try:
            return ctypes.CDLL(NVML, mode=ctypes.RTLD_GLOBAL)
        except OSError as err:
            problems.append(str(err))
    why = "; ".join(problems) or f"{NVML} is in none of {', '.join(FOLDERS)}"
    raise VendorError(
        f"driver root {root}: {why}; install the NVIDIA driver there, or name the root it is in"
    )
