"""Fifty interruptions of the demo at random moments: no process, socket or file is left by any."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
from leftovers import processes_of

RUNS, AT_ONCE = 50, 2
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
async def test_fifty_interruptions_at_random_moments_leave_nothing():
    moments = random.Random(20261121)
    codes = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as root:
        await asyncio.gather(
            *(interrupted(Path(root), signal.SIGINT, UNDISTURBED) for _ in range(AT_ONCE))
        )
    longest = time.monotonic() - began  # on this machine, as busy as it is
    for _ in range(RUNS // AT_ONCE):
        with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as root:
            folders = [Path(root) / str(i) for i in range(AT_ONCE)]
            for folder in folders:
                folder.mkdir()
            chosen = [
                (moments.choice((signal.SIGINT, signal.SIGTERM)), moments.uniform(0, longest))
                for _ in folders
            ]
            codes += await asyncio.gather(
                *(interrupted(f, *c) for f, c in zip(folders, chosen, strict=True))
            )
            assert [list(f.iterdir()) for f in folders] == [[]] * AT_ONCE
            assert processes_of(Path(root)) == []
    # Before the program has begun, and after it has ended, a signal ends the interpreter alone.
    assert set(codes) <= {0, 1, 130, -signal.SIGINT, -signal.SIGTERM}
    assert codes.count(130) >= RUNS // 10
