"""What reading GPUs costs: `uv run python tests/bench/nvidia.py`.

The stub answers in no time, so these are the costs of `pynvml`, the worker, JSON and decoding; a real driver adds its
own. The worker's memory is measured with `pynvml` compiled, as in an image: a worker that must compile it first holds
half as much again.
"""

from __future__ import annotations

import asyncio
import compileall
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pynvml
from rich.console import Console
from rich.table import Table

from pydra_core._shield.shield import Shield
from pydra_core.sdk import Sdk
from pydra_nvidia import reading
from pydra_nvidia_fake import FakeHost

ROUNDS = 50
NVML = Sdk("pydra_nvidia.nvml")
DISCOVERY_MS, WORKER_MB = 50, 25
HOSTS = ("h100x8", "a100-80x8", "mixed-mig", "t4x1")


async def timed(rounds: int, way: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each call."""
    samples = []
    for _ in range(rounds):
        started = time.perf_counter()
        await way()
        samples.append((time.perf_counter() - started) * 1000)
    return samples


def resident() -> int:
    """Bytes the worker holds: our one child."""
    (worker,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * resource.getpagesize()


async def host(name: str, folder: Path, table: Table) -> bool:
    """Measure one machine; returns whether the limits hold."""
    fake = FakeHost.build(name, folder / name)
    shield, root = Shield(), str(fake.driver_root)

    async def snapshot() -> None:
        reading.snapshot(await shield(NVML.snapshot, root), fake.root)

    async def health() -> None:
        reading.conditions(await shield(NVML.health, root), fake.root)

    try:
        (first,) = await timed(1, snapshot)
        begun = fake.calls
        discovery = await timed(ROUNDS, snapshot)
        calls = (fake.calls - begun) // ROUNDS
        look = await timed(ROUNDS, health)
        held = resident()
    finally:
        await shield.close()
    p50, worst = statistics.median(discovery), max(discovery)
    numbers = (first, p50, worst, statistics.median(look), held / 1e6)
    table.add_row(name, str(calls), *(f"{number:.1f}" for number in numbers))
    return p50 <= DISCOVERY_MS and held <= WORKER_MB * 1e6


async def run() -> bool:
    """Measure and print; returns whether the limits hold."""
    compileall.compile_file(pynvml.__file__, quiet=1)
    columns = ("host", "NVML calls", "first ms", "discovery p50 ms", "worst ms", "health p50 ms")
    table = Table(*columns, "worker MB")
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        fine = [await host(name, Path(folder), table) for name in HOSTS]
    Console().print(table)
    print(f"limits: discovery {DISCOVERY_MS} ms, worker {WORKER_MB} MB")
    return all(fine)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(run()) else 1)
