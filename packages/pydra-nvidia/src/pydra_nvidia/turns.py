"""Programs of one claim that take turns on a GPU: what is changed in the GPU for them, and changed back.

Both can be done again at any time: the driver may be killed between any two steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydra_core import PydraError
from pydra_core.sdk import Sdk
from pydra_nvidia import reading
from pydra_nvidia.blame import named
from pydra_nvidia.parameters import Interval
from pydra_nvidia.time_slices import can_set_time_slices, set_time_slice

if TYPE_CHECKING:
    from pydra_core.driver import Driver
    from pydra_nvidia import nvml
else:
    nvml = Sdk("pydra_nvidia.nvml")

_SEVERAL = "default"
"""The compute mode in which several programs may use a GPU at once."""
_PATIENCE, _LOOK = 10.0, 20.0
SLICE, MODE = "timeSlice", "computeMode"


Keep: TypeAlias = Callable[[Mapping[str, str]], Awaitable[None]]
"""Writes down what a GPU was before it is changed: nobody can ask it afterwards."""


async def take_turns(
    driver: Driver, root: Path, uuid: str, interval: Interval | None, keep: Keep
) -> dict[str, str]:
    """Let programs share a GPU in turns of this length, or of the length there is.

    Returns:
        What `end_turns` needs; `keep` had it before the compute mode was changed.

    Raises:
        PydraError: NVML or `nvidia-smi` refused, or `keep` did; the text names the GPU and the call.
    """
    if interval:  # first, so that what it refuses leaves the mode as it was
        await set_time_slice(root, uuid, interval)
    kept: dict[str, str] = {SLICE: interval} if interval else {}
    before = await compute_mode(driver, root, uuid)
    if before != _SEVERAL:
        kept[MODE] = before
    await keep(kept)
    if before != _SEVERAL:
        await set_mode(driver, root, uuid, _SEVERAL)
    return kept


async def end_turns(
    driver: Driver,
    root: Path,
    uuid: str,
    state: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Give the GPU back as it was, unless others need it as it is.

    Args:
        driver: whose SDK is called.
        root: the driver root.
        uuid: the GPU's.
        state: what `take_turns` returned, with more beside it; empty if that was interrupted.
        others: the same of those whose programs still share the GPU.

    Raises:
        PydraError: NVML or `nvidia-smi` refused.
    """
    was_set = SLICE in state or (not state and can_set_time_slices(root))
    if was_set and not any(SLICE in one for one in others):
        await set_time_slice(root, uuid, "Default")
    if not others and (mode := state.get(MODE)):
        await set_mode(driver, root, uuid, str(mode))


async def set_mode(driver: Driver, root: Path, uuid: str, mode: str) -> str:
    """Let a GPU take programs in another way; the compute mode it had.

    Raises:
        PydraError: NVML refused; the text names the GPU and the call.
    """
    with named(f"GPU {uuid}"):
        return str(
            await driver.sdk(nvml.set_compute_mode, str(root), uuid, mode, timeout=_PATIENCE)
        )


async def compute_mode(driver: Driver, root: Path, uuid: str) -> str:
    """How a GPU takes programs now.

    Raises:
        PydraError: NVML does not tell; the text names the GPU and the call.
    """
    with named(f"GPU {uuid}"):
        return str(await driver.sdk(nvml.compute_mode, str(root), uuid, timeout=_PATIENCE))


async def is_gone(driver: Driver, root: Path, uuid: str) -> bool:
    """Whether a GPU is lost: it forgets by itself, and holds no pod back. A MIG device has the UUID of none."""
    if not uuid.startswith("GPU-"):
        return False
    try:
        sent = await driver.sdk(nvml.health, str(root), timeout=_LOOK)
    except PydraError:
        return False
    return not any(c.uuid == uuid and not c.lost for c in reading.conditions(sent, driver.host))
