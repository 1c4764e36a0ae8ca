"""Starting a daemon: in the foreground as this process, or behind it in one of its own that listens when this ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydra_nvidia_fake.mps import wire
from pydra_nvidia_fake.mps.daemon import Daemon, Log
from pydra_nvidia_fake.mps.features import Features
from pydra_nvidia_fake.mps.handle import DAEMONS
from pydra_nvidia_fake.mps.limits import typed_percent
from pydra_nvidia_fake.mps.machine import Gpu, Machine
from pydra_nvidia_fake.mps.service import Service

if TYPE_CHECKING:
    from pydra_nvidia_fake.mps.tool import Asked

_BIN = 3
_SECOND = 2


def gpus(tool: Path) -> list[Gpu]:
    """What CUDA finds here."""
    return _machine(tool).gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))


def run(tool: Path, able: Features, asked: Asked, folder: str, logs: str) -> int:
    """Be the daemon, or leave it behind; returns the exit status."""
    if not asked.foreground:
        ours, theirs = os.pipe()
        if os.fork():
            os.close(theirs)
            return _last_words(ours)
        os.close(ours)
        os.setsid()
    daemon = Daemon(folder, Log(logs, aloud=asked.foreground))
    refused = daemon.take()
    if asked.foreground and refused is not None:
        sys.stderr.write(f"{refused}\n")
        return 1
    if not asked.foreground:
        os.write(theirs, b"\0" if refused is None else refused.encode())
        os.close(theirs)
        if refused is not None:
            os._exit(1)
        _leave_terminal()
    with tool.with_name(tool.name + DAEMONS).open("a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    return daemon.serve(_service(tool, able, asked, daemon, folder))


def _service(tool: Path, able: Features, asked: Asked, daemon: Daemon, folder: str) -> Service:
    service = Service(
        tool=tool,
        machine=_machine(tool),
        features=able,
        gpus=gpus(tool),
        v3=asked.protocol > _SECOND,
        static=asked.static,
        multiuser=asked.multiuser,
        uid=wire.uid(),
        folder=folder,
        log=daemon.log,
        offer=daemon.offer,
        withdraw=daemon.withdraw,
    )
    percent = typed_percent(os.environ.get("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", ""))
    service.defaults.percent = percent or service.defaults.percent
    return service


def _last_words(pipe: int) -> int:
    """Of the process that was left behind: it listens, or says why not."""
    with os.fdopen(pipe, "rb") as file:
        said = file.read()
    if said == b"\0":
        return 0
    sys.stderr.write(f"{said.decode()}\n" if said else "")
    return 1


def _leave_terminal() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(_BIN):
        os.dup2(null, number)
    os.close(null)


def _machine(tool: Path) -> Machine:
    return Machine(tool.parents[2])
