"""What the shield costs: `uv run python tests/bench/shield.py`.

One run measures a bare pipe's round trip to a partner that only echoes, the ways an event loop can wait for such a
partner, and a whole call through the shield, all with the same bytes and turn by turn, so that a busy machine is
busy for all of them. The numbers that count are differences to the bare pipe.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pydra_core._shield.shield import Shield
from pydra_core._telemetry.metrics import Metrics
from pydra_core.sdk import MIB, Sdk

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
BENCH = Sdk("shield_sdk")
ROUNDS, BATCH = 40, 100
CARD = {
    "uuid": "GPU-5b5e3bd1-9f0c-4a1c-8d59-9d1d5b0d1c11",
    "name": "Acme A1",
    "memory": 85899345920,
}
PAYLOADS = {"one card": CARD, "snapshot of 8 cards": [CARD | {"links": list(range(8))}] * 8}


class Echo:
    """The bare partner and this side's ends of two pipes."""

    def __init__(self) -> None:
        theirs, self.write = os.pipe()
        self.read, answers = os.pipe()
        command = [sys.executable, str(HERE / "shield_echo.py"), str(theirs), str(answers)]
        self.process = subprocess.Popen(command, pass_fds=(theirs, answers))
        os.close(theirs)
        os.close(answers)

    def turn(self, data: bytes) -> None:
        """Send and wait, as simply as can be."""
        os.write(self.write, data)
        left = len(data)
        while left:
            left -= len(os.read(self.read, 1 << 20))

    def close(self) -> None:
        """End the partner."""
        os.close(self.write)
        self.process.wait()
        os.close(self.read)


async def watched(echo: Echo, data: bytes) -> None:
    """The loop watches the descriptor itself."""
    loop = asyncio.get_running_loop()
    done, left = loop.create_future(), len(data)

    def ready() -> None:
        nonlocal left
        left -= len(os.read(echo.read, 1 << 20))
        if not left:
            done.set_result(None)

    loop.add_reader(echo.read, ready)
    os.write(echo.write, data)
    await done
    loop.remove_reader(echo.read)


class Thread:
    """A thread reads and wakes the loop."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._loop = asyncio.get_running_loop()
        self._left, self._done = 0, self._loop.create_future()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._echo.read, 1 << 20):
            self._left -= len(data)
            if not self._left:
                self._loop.call_soon_threadsafe(self._done.set_result, None)

    async def turn(self, data: bytes) -> None:
        self._left, self._done = len(data), self._loop.create_future()
        os.write(self._echo.write, data)
        await self._done


async def measure(ways: dict[str, Callable[[], Awaitable[object]]]) -> dict[str, list[float]]:
    """Seconds of every call, way by way in turns."""
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            for _ in range(BATCH):
                started = time.perf_counter()
                await way()
                samples[name].append(time.perf_counter() - started)
    return samples


async def run() -> bool:
    """Measure and print; returns whether the limits hold."""
    shield, echo, other = Shield(), Echo(), Echo()
    shield.observe(Metrics("card.acme.example").vendor)
    thread = Thread(other)
    fine = True
    for name, value in PAYLOADS.items():
        data = json.dumps(value).encode()

        async def bare(data: bytes = data) -> None:
            echo.turn(data)

        ways = {
            "bare pipe, blocking": bare,
            "loop watches the descriptor": lambda d=data: watched(echo, d),
            "a thread reads": lambda d=data: thread.turn(d),
            "self.sdk(...)": lambda v=value: shield(BENCH.echo, v),
        }
        fine &= show(f"{name}, {len(data)} bytes", await measure(ways))
    held = await shield(BENCH.held)
    print(f"worker of an empty SDK module: {held / 1e6:.1f} MB resident (at most 20)")
    await shield.close()
    other.process.terminate()  # its reader thread ends with it
    other.process.wait()
    echo.close()
    return fine and held <= 20 * MIB


def show(title: str, samples: dict[str, list[float]]) -> bool:
    """Print one table; returns whether a call costs at most 60 µs more than the bare pipe."""
    table = Table("way", "p50 µs", "p99 µs", "above bare µs, p50", title=title)
    base = statistics.median(samples["bare pipe, blocking"]) * 1e6
    for name, seconds in samples.items():
        p50, p99 = (statistics.quantiles(seconds, n=100)[i] * 1e6 for i in (49, 98))
        table.add_row(name, f"{p50:.0f}", f"{p99:.0f}", f"{p50 - base:.0f}")
    Console().print(table)
    return statistics.median(samples["self.sdk(...)"]) * 1e6 - base <= 60


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(run()) else 1)
