"""The GPUs as CUDA has them, from the state that the stub of NVML keeps: what the daemon and programs run on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydra_nvidia_fake.layout import State

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_STATE = f"{_LIBRARIES}/fake-nvml.state"
DEFAULT, PROHIBITED, EXCLUSIVE = 0, 2, 3


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU. `major` is of its compute capability, `mode` its compute mode; memory in bytes."""

    uuid: str
    name: str
    bus: str
    sm: int
    memory: int
    major: int
    mode: int


class Machine:
    """Reads the machine whose driver is installed below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def gpus(self, visible: str | None) -> list[Gpu]:
        """Those that work, as `CUDA_VISIBLE_DEVICES` orders and limits them: ordinals, or UUIDs and their beginnings."""
        there = [_whole(gpu) for gpu in _working(self._state())]
        if visible is None:
            return there
        there += [one for one in self.devices() if one not in there]  # ordinals are those of GPUs
        found: list[Gpu] = []
        for word in visible.split(","):
            gpu = pick(there, word.strip())
            if gpu is None:
                break  # as CUDA does: what is named after one that is not there does not count
            found.append(gpu)
        return found

    def hold(self, gpu: Gpu) -> int | None:
        """Hold a GPU as the one process that may; the file to keep open, or None if another one holds it."""
        path = self._root / _LIBRARIES / f"fake-cuda.{gpu.uuid}.lock"
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        return file

    def devices(self) -> list[Gpu]:
        """All that CUDA can be told to use by UUID: GPUs, and MIG devices, which have a part of one."""
        state = self._state()
        return [one for gpu in _working(state) for one in (_whole(gpu), *_parts(gpu))]

    def _state(self) -> State | None:
        try:
            state = State.from_buffer_copy((self._root / _STATE).read_bytes())
        except OSError:
            return None
        return state if state.kernel == state.driver else None


def _working(state: State | None) -> list[Any]:
    return [gpu for gpu in state.gpus[: state.n_gpus] if not gpu.lost] if state else []


def _whole(gpu: Any) -> Gpu:
    return Gpu(
        gpu.uuid.decode(),
        gpu.name.decode(),
        f"{gpu.domain:04x}:{gpu.bus:02x}.{gpu.device:02x}.00",
        gpu.sm,
        gpu.memory_total,
        gpu.cc_major,
        gpu.compute_mode,
    )


def _parts(gpu: Any) -> Iterator[Gpu]:
    for one in gpu.computes:
        if one.used:
            profile = gpu.profiles[gpu.instances[one.instance].profile]
            yield replace(
                _whole(gpu),
                uuid=one.uuid.decode(),
                sm=profile.sm * one.place.size // profile.slices,
                memory=profile.memory_mib << 20,
                mode=DEFAULT,
            )


def pick(gpus: list[Gpu], word: str) -> Gpu | None:
    """The GPU that is meant: by ordinal, or by a UUID or a beginning of it that only one has."""
    if word.isdecimal():
        return gpus[int(word)] if int(word) < len(gpus) else None
    met = [gpu for gpu in gpus if word and gpu.uuid.startswith(word)]
    return met[0] if len(met) == 1 else None
