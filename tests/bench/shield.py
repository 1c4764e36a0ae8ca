"""What the shield costs, and how soon it is back: `uv run python tests/bench/shield.py`.

Each run measures a bare pipe's round trip to a partner that only echoes, the ways an event loop can wait for such a
partner, and a whole call through the shield, all with the same bytes and turn by turn, so that a busy machine is
busy for all of them. The numbers that count are differences to the bare pipe; medians of several runs, and their range.
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pydra_core._shield.shield import Shield
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import VendorCrashedError
from pydra_core.sdk import MIB, Sdk

sys.path.insert(0, str(Path(__file__).parent))
from shield_ways import Echo, Thread, watched

BENCH = Sdk("shield_sdk")
RUNS, ROUNDS, BATCH, CRASHES = 7, 20, 100, 15
MOST_ABOVE, MOST_HELD, MOST_RECOVERY = 60e-6, 20 * MIB, 1.0
CARD = {
    "uuid": "GPU-5b5e3bd1-9f0c-4a1c-8d59-9d1d5b0d1c11",
    "name": "Acme A1",
    "memory": 85899345920,
}
PAYLOADS = {"one card": CARD, "snapshot of 8 cards": [CARD | {"links": list(range(8))}] * 8}
BARE, SHIELD = "bare pipe, blocking", "self.sdk(...)"

Ways = Mapping[str, Callable[[], Awaitable[object]]]
Samples = Mapping[str, Sequence[float]]


async def measure(ways: Ways) -> Samples:
    """Seconds of every call of one run, way by way in turns."""
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            for _ in range(BATCH):
                started = time.perf_counter()
                await way()
                samples[name].append(time.perf_counter() - started)
    return samples


class Bench:
    """A shield and its partners."""

    def __init__(self) -> None:
        self.shield = observed()
        self.echo, self.pair, self.other = Echo(), Echo(pipes=False), Echo()
        self.thread = Thread(self.other)

    def ways(self, value: object) -> tuple[int, Ways]:
        """All that is compared, for one payload, and its length."""
        data = json.dumps(value).encode()

        async def blocking(echo: Echo) -> None:
            echo.turn(data)

        return len(data), {
            BARE: lambda: blocking(self.echo),
            "socket pair, blocking": lambda: blocking(self.pair),
            "loop watches the pipe": lambda: watched(self.echo, data),
            "a thread reads": lambda: self.thread.turn(data),
            SHIELD: lambda: self.shield(BENCH.echo, value),
        }

    async def close(self) -> None:
        """End all partners."""
        await self.shield.close()
        for echo in (self.echo, self.pair, self.other):
            echo.close()


def observed() -> Shield:
    """A shield as a driver has it, metrics included."""
    shield = Shield()
    shield.observe(Metrics("card.acme.example").vendor)
    return shield


async def recovery() -> tuple[float, float]:
    """Seconds from a call that crashes to its error, and from there to the next good answer of a fresh worker."""
    shield = observed()
    await shield(BENCH.held)
    started = time.perf_counter()
    try:
        await shield(BENCH.fall)
    except VendorCrashedError:
        told = time.perf_counter()
    await shield(BENCH.held)
    again = time.perf_counter()
    await shield.close()
    return told - started, again - told


async def run() -> bool:
    """Measure and print; returns whether the limits hold."""
    bench, fine = Bench(), True
    for name, value in PAYLOADS.items():
        length, ways = bench.ways(value)
        runs = [await measure(ways) for _ in range(RUNS)]
        fine &= show(f"{name}, {length} bytes both ways, {RUNS} runs", runs)
    held = await bench.shield(BENCH.held)
    await bench.close()
    print(f"worker of an empty SDK module: {held / 1e6:.1f} MB resident (at most 20)")
    crashes = [await recovery() for _ in range(CRASHES)]
    errors, answers = (
        [seconds * 1e3 for seconds in column] for column in zip(*crashes, strict=True)
    )
    print(
        f"SIGSEGV, {CRASHES} times: the call's error after {statistics.median(errors):.1f} ms"
        f" ({min(errors):.1f} to {max(errors):.1f}), the next good answer"
        f" {statistics.median(answers):.0f} ms later ({min(answers):.0f} to {max(answers):.0f})"
    )
    slowest = max(sum(crash) for crash in crashes)
    return fine and held <= MOST_HELD and slowest <= MOST_RECOVERY


def show(title: str, runs: Sequence[Samples]) -> bool:
    """Print one table; returns whether a call costs at most 60 µs more than the bare pipe."""
    table = Table("way", "p50 µs", "p99 µs", "above bare µs, p50", "in single runs", title=title)
    above: dict[str, list[float]] = {}
    for name in runs[0]:
        p50, p99 = (
            statistics.median(statistics.quantiles(run[name], n=100)[i] for run in runs) * 1e6
            for i in (49, 98)
        )
        above[name] = sorted(
            statistics.median(run[name]) - statistics.median(run[BARE]) for run in runs
        )
        middle, *ends = (
            f"{s * 1e6:.0f}"
            for s in (statistics.median(above[name]), above[name][0], above[name][-1])
        )
        table.add_row(name, f"{p50:.0f}", f"{p99:.0f}", middle, " to ".join(ends))
    Console(width=100).print(table)
    return statistics.median(above[SHIELD]) <= MOST_ABOVE


if __name__ == "__main__":
    logging.disable()  # of crashes that are meant
    sys.exit(0 if asyncio.run(run()) else 1)
