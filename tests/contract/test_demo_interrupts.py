"""Interruptions all over the run of the demo: no process, socket or file is left by any.

Eight, or with PYDRA_THOROUGH=1 fifty; how the moments fall on what it does differs from run to run.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
from leftovers import processes_of
from thoroughness import THOROUGH

RUNS, AT_ONCE = 50 if THOROUGH else 8, 2
SIGNALS = (signal.SIGINT, signal.SIGTERM)
UNDISTURBED = 120.0
"""Seconds within which a demo that nobody interrupts has surely ended."""


async def interrupted(folder, number, seconds):
    """Run the demo, send it the signal after that time unless it ended before; returns its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pydra_core", "demo"),
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait([ended], timeout=seconds)
    if not ended.done():
        process.send_signal(number)
    return await ended


@pytest.mark.timeout(240)
async def test_interruptions_at_moments_spread_over_the_run_leave_nothing():
    codes = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as root:
        await asyncio.gather(
            *(interrupted(Path(root), signal.SIGINT, UNDISTURBED) for _ in range(AT_ONCE))
        )
    longest = time.monotonic() - began  # on this machine, as busy as it is
    for first in range(0, RUNS, AT_ONCE):
        with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as root:
            folders = [Path(root) / str(i) for i in range(AT_ONCE)]
            for folder in folders:
                folder.mkdir()
            chosen = [
                (SIGNALS[(first // AT_ONCE + i) % 2], longest * (first + i) / RUNS)
                for i in range(AT_ONCE)
            ]
            codes += await asyncio.gather(
                *(interrupted(f, *c) for f, c in zip(folders, chosen, strict=True))
            )
            assert [list(f.iterdir()) for f in folders] == [[]] * AT_ONCE
            assert processes_of(Path(root)) == []
    # Before the program has begun, and after it has ended, a signal ends the interpreter alone.
    assert set(codes) <= {0, 1, 130, -signal.SIGINT, -signal.SIGTERM}
    assert codes.count(130) >= RUNS // 10
