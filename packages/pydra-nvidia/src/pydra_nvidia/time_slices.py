"""How long programs have a GPU in turn: set by `nvidia-smi`, because NVML has no call for it.

The length holds for the GPU until it is set again, so a claim that chose one puts the default back at its end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from pydra_core.errors import VendorError, VendorTimeoutError
from pydra_nvidia.library import found, found_programs
from pydra_nvidia.parameters import INTERVALS, Interval

_PATIENCE = 15.0
_MOST_TEXT = 300


async def set_time_slice(root: Path, uuid: str, interval: Interval) -> None:
    """Let programs on a GPU take turns of this length.

    Args:
        root: the driver root, as this process sees it; its `nvidia-smi` is called with its NVML.
        uuid: the GPU's.
        interval: how long.

    Raises:
        VendorError: there is no `nvidia-smi`, or it refused; its own words are in the text.
        VendorTimeoutError: it does not end.
    """
    program = next(_programs(root), None)
    if program is None:
        raise VendorError(
            f"GPU {uuid}: time slices are set by nvidia-smi, and {root} has none; install the driver's utilities, or"
            " set NVIDIA_DRIVER_ROOT"
        )
    arguments = ("compute-policy", "-i", uuid, "--set-timeslice", str(INTERVALS.index(interval)))
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environ(root),
    )
    said = await _ended(process, uuid)
    if process.returncode:
        text = " ".join(said.decode(errors="replace").split())[:_MOST_TEXT]
        raise VendorError(
            f"GPU {uuid}: nvidia-smi {' '.join(arguments)} exited with {process.returncode}: {text}"
        )


def can_set_time_slices(root: Path) -> bool:
    """Whether there is an `nvidia-smi` below the driver root."""
    return next(_programs(root), None) is not None


async def _ended(process: asyncio.subprocess.Process, uuid: str) -> bytes:
    """What the program said. It is not left behind, whoever stops waiting for it."""
    try:
        async with asyncio.timeout(_PATIENCE):
            said, _ = await process.communicate()
            return said
    except TimeoutError:
        raise VendorTimeoutError(
            f"GPU {uuid}: nvidia-smi compute-policy does not end; see the kernel log for the GPU"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()


def _programs(root: Path) -> Iterator[Path]:
    return found_programs(root, "nvidia-smi")


def _environ(root: Path) -> dict[str, str]:
    """NVML from the driver root, which `nvidia-smi` asks for by name: it alone.

    A search path of the root's folders would also give it a C library that does not fit this system's loader.
    """
    nvml = next(found(root), None)
    if root == Path("/") or nvml is None:
        return dict(os.environ)
    return {**os.environ, "LD_PRELOAD": str(nvml)}
