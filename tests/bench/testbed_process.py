"""A testbed in a process of its own; run by `testbed.py`. Prints its URL when its node is ready."""

from __future__ import annotations

import asyncio
import sys

from pydra_testbed.cluster import Testbed, start


async def ready(testbed: Testbed) -> None:
    """Return when the first node is ready."""
    async for event in testbed.api.watch("nodes"):
        conditions = event.object.get("status", {}).get("conditions", [])
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            return


async def main() -> None:
    """Serve until standard input ends."""
    async with start() as testbed:
        await ready(testbed)
        print(testbed.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
