"""Servers and their clients: what one daemon knows of them, and the server's process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from pydra_nvidia_fake.mps.limits import Limits
from pydra_nvidia_fake.mps.machine import EXCLUSIVE, PROHIBITED, Gpu, Machine
from pydra_nvidia_fake.mps.partitions import Table

PROGRAM = "nvidia-cuda-mps-server"


class Status(IntEnum):
    """CUDA's error numbers that a client of MPS may see."""

    SUCCESS = 0
    NO_DEVICE = 100
    UNAVAILABLE = 46
    LAUNCH_FAILED = 719
    CONNECTION_FAILED = 805
    RPC_FAILURE = 806
    SERVER_NOT_READY = 807
    MAX_CLIENTS = 808
    CLIENT_TERMINATED = 810
    INVALID_RESOURCE_CONFIGURATION = 915


@dataclass(slots=True, eq=False)
class Client:
    """A program on a GPU. `tell` sends it an error, as what it does next would return it."""

    pid: int
    uid: int
    linux_namespace: int
    command: str
    gpu: Gpu
    tell: Callable[[Status], None]
    space: str = ""
    partition: str = ""
    number: int = 0
    faulty: bool = False


@dataclass(slots=True, eq=False)
class Server:
    """A server, with its process; `spaces` are its namespaces, in the third protocol."""

    pid: int
    uid: int
    name: str
    gpus: list[Gpu]
    limits: Limits
    wire: int
    spaces: dict[str, Limits] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    allowed: str = ""
    met: int = 0
    ending: bool = False

    @property
    def status(self) -> str:
        """As the second protocol calls it."""
        return "FAULT" if any(one.faulty for one in self.clients) else "ACTIVE"

    def end(self) -> None:
        """Let the process end: it reads until nobody holds the other end."""
        self.ending = True
        if self.wire >= 0:
            os.close(self.wire)
            self.wire = -1


def spawn(tool: Path, machine: Machine, gpus: list[Gpu]) -> tuple[int, int] | None:
    """Start a server's process: its ID, and the pipe that it lives by. None if it cannot have its GPUs."""
    if not gpus or any(gpu.mode == PROHIBITED for gpu in gpus):
        return None
    held = [machine.hold(gpu) for gpu in gpus if gpu.mode == EXCLUSIVE]
    try:
        if None in held:
            return None
        program = tool.with_name(PROGRAM)
        ours, wire = os.pipe()
        shared = [file for file in held if file is not None]
        for file in shared:
            os.set_inheritable(file, True)
        actions = [(os.POSIX_SPAWN_DUP2, ours, 0)]
        pid = os.posix_spawn(program, [str(program)], os.environ, file_actions=actions)
        os.close(ours)
        return pid, wire
    finally:
        for lock in held:
            if lock is not None:
                os.close(lock)
