"""Reading a container's log while it is being written.

Called by `Runtime.read` for the API server's pod log subresource.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from pydra_testbed.clock import Clock
from pydra_testbed.runtime.waiting import first_of

_CHUNK = 64 * 1024

# Seconds between two looks at a log that is being followed.
_POLL = 0.1


async def follow_log(path: Path, ended: asyncio.Event, clock: Clock) -> AsyncIterator[bytes]:
    """What is in the log and what is added, until `ended` is set and all of it was read."""
    with path.open("rb") as file:
        while True:
            last_look = ended.is_set()
            if chunk := file.read(_CHUNK):
                yield chunk
            elif last_look:
                return
            else:
                await first_of(ended.wait(), clock.sleep(_POLL))
