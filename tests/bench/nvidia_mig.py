"""Thousands of claims for MIG devices, with crashes and restarts: `uv run python tests/bench/nvidia_mig.py [CYCLES [SEED]]`.

After each cycle the stub's instances must be those of the journal; the first difference ends the run. CI does a few
dozen (`tests/contract/test_nvidia_mig_life.py`).
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from mig_life import MigLife
from nvidia_world import nvidia_node

CYCLES, SEED, EVERY = 10_000, 1, 100
ODDS = (0.4, 0.4, 0.4)


async def run(cycles: int, seed: int) -> None:
    """Run and print how far it is."""
    async with nvidia_node() as node:
        node.build("h100x8")
        life = MigLife(node, seed, ODDS)
        await life.begin()
        began = time.monotonic()
        while life.cycles < cycles:
            await life.cycle()
            if life.cycles % EVERY == 0 or life.cycles == cycles:
                seconds = time.monotonic() - began
                print(
                    f"{life.cycles} cycles, {life.kills} processes killed, {life.crashes} crashes in NVML,"
                    f" {seconds:.0f} s: instances equal the journal",
                    flush=True,
                )
        await life.end()


if __name__ == "__main__":
    asyncio.run(run(*map(int, [*sys.argv[1:], *(CYCLES, SEED)[len(sys.argv) - 1 :]])))
