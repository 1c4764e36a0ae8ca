"""Plays files of recordings, a process for each, as many at once as there are processors; the command calls it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from pydra_core.errors import PydraError
from pydra_testbed.fidelity.score import FileScore
from pydra_testbed.fidelity.worker import Played, Size

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a file's name, how many of its records were played, and how many there are."""

_LINE_LIMIT = 1 << 24
_TAIL = 2000


class FidelityError(PydraError):
    """A file could not be played to its end; the text ends with what its process said last."""

    reason = "FidelityFailed"


async def play(
    paths: Sequence[Path], *, also_changed: bool, progress: Progress
) -> tuple[FileScore, ...]:
    """Play all files and count; `also_changed` plays each record once more with one field changed.

    Raises:
        FidelityError: a file's process ended early, or nothing plays the file.
    """
    slots = asyncio.Semaphore(os.cpu_count() or 1)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_file(path, slots, progress, also_changed=also_changed))
                for path in paths
            ]
    except* FidelityError as errors:
        raise errors.exceptions[0] from None
    return tuple(task.result() for task in tasks)


async def _file(
    path: Path, slots: asyncio.Semaphore, progress: Progress, *, also_changed: bool
) -> FileScore:
    async with slots:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "pydra_testbed.fidelity.worker", str(path)),
            *(["changed"] if also_changed else []),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
        )
        said = asyncio.ensure_future(_all(process.stderr))
        try:
            score = await _score(path, process.stdout, progress)
            text, code = await said, await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await asyncio.gather(process.wait(), said, return_exceptions=True)
    if code or score is None:
        raise FidelityError(
            f"{path.name}: its process ended with code {code} before the last record; it said:\n"
            f"{text.decode(errors='replace')[-_TAIL:]}"
        )
    return score


async def _all(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream else b""


async def _score(
    path: Path, lines: asyncio.StreamReader | None, progress: Progress
) -> FileScore | None:
    """What the process reports, None when it reported less than it announced."""
    if lines is None or not (first := await lines.readline()):
        return None
    size = msgspec.json.decode(first, type=Size)
    score = FileScore(path.name)
    decoder = msgspec.json.Decoder(Played)
    async for line in lines:
        played = decoder.decode(line)
        (score.changed if played.changed else score.recorded).add(played.outcome)
        progress(path.name, score.played, size.records + size.changed)
    return score if score.played == size.records + size.changed else None
