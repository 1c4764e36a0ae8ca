"""A program that would use a GPU, to be run where a tenant's program runs: `python -m pydra_nvidia_fake.mps_client`.

It reads its environment as libcuda does, and prints one JSON line with what a CUDA program would see: `error` (CUDA's
number, 0 if all is well), `mps`, `gpu`, `sms`, `total_sms`, `percent`, `memory` (its limit in bytes, or null),
`total_memory`, `server` (process ID), `namespace`. With no daemon behind `CUDA_MPS_PIPE_DIRECTORY` it runs without
MPS, as real programs silently do; it needs the machine for that, by `--host` or `NVIDIA_HOST_ROOT`, and fails if another
process holds a GPU in compute mode EXCLUSIVE_PROCESS.

It stays on the GPU until standard input ends or SIGTERM comes; a line `fault` there is a fault no GPU survives. What
happens to it meanwhile is printed as a line with another `error`. Exit codes: 0, or 1 once an error was printed.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydra_nvidia_fake.mps import wire
from pydra_nvidia_fake.mps.machine import EXCLUSIVE, PROHIBITED, Machine
from pydra_nvidia_fake.mps.servers import Status

_PIPES = "/tmp/nvidia-mps"  # noqa: S108 - where libcuda looks


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="mps_client", description="a program that uses a GPU")
    parser.add_argument("--once", action="store_true", help="end at once")
    parser.add_argument("--stay", action="store_true", help="do not end with standard input")
    parser.add_argument(
        "--host", type=Path, help="the machine's driver root, if it runs without MPS"
    )
    parser.add_argument("--uid", type=int, help="the user it is taken for")
    asked = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        met = wire.connect(os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or _PIPES)
    except OSError:
        seen = _alone(asked.host)
        return _say(seen) or (0 if asked.once else _stay(None, stay=asked.stay))
    with met:
        uid = wire.uid() if asked.uid is None else asked.uid
        met.sendall(wire.line({"program": _introduction(uid)}))
        first = met.makefile("r", encoding="utf-8").readline()
        seen = json.loads(first) if first else {"error": int(Status.CONNECTION_FAILED)}
        return _say(seen | {"mps": True}) or (0 if asked.once else _stay(met, stay=asked.stay))


def _introduction(uid: int) -> dict[str, Any]:
    env = os.environ
    return {
        "pid": os.getpid(),
        "uid": uid,
        "linux_namespace": Path("/proc/self/ns/pid").stat().st_ino,
        "command": " ".join(sys.argv),
        "visible": env.get("CUDA_VISIBLE_DEVICES"),
        "percent": env.get("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", ""),
        "memory": env.get("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", ""),
        "partition": env.get("CUDA_MPS_SM_PARTITION", ""),
    }


def _alone(root: Path | None) -> dict[str, Any]:
    """What is seen without MPS. A GPU that is held stays so until this process ends."""
    machine = Machine(root or Path(os.environ.get("NVIDIA_HOST_ROOT", "/")))
    gpus = machine.gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if not gpus:
        return {"error": int(Status.NO_DEVICE), "mps": False}
    gpu = gpus[0]
    taken = gpu.mode == EXCLUSIVE and machine.hold(gpu) is None
    if gpu.mode == PROHIBITED or taken:
        return {"error": int(Status.UNAVAILABLE), "mps": False, "gpu": gpu.uuid}
    return {
        "error": 0,
        "mps": False,
        "gpu": gpu.uuid,
        "sms": gpu.sm,
        "total_sms": gpu.sm,
        "percent": 100.0,
        "memory": None,
        "total_memory": gpu.memory,
        "server": None,
        "namespace": None,
    }


def _stay(met: socket.socket | None, *, stay: bool) -> int:
    """Until it is told to go, or loses its server."""
    status = 0
    watched = [file for file in (met, None if stay else sys.stdin) if file is not None]
    while watched:
        ready, _, _ = select.select(watched, [], [])
        if met in ready and met is not None:
            heard = met.recv(1 << 16).decode()
            for line in heard.splitlines() or [json.dumps({"error": int(Status.RPC_FAILURE)})]:
                status = _say(json.loads(line))
                if json.loads(line)["error"] != Status.LAUNCH_FAILED:
                    return status
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return status
            if line.strip() == "fault" and met is not None:
                met.sendall(wire.line({"fault": True}))
    signal.pause()
    return status


def _say(seen: dict[str, Any]) -> int:
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()
    return 1 if seen["error"] else 0


if __name__ == "__main__":
    sys.exit(main())
