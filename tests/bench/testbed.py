"""The testbed's own speed, against its goals: start, creates, reads, watchers, memory. `uv run python tests/bench/testbed.py`.

The testbed is a process of its own (`testbed_process.py`), scheduler, controllers and kubelet included; this process is
its clients. Every number is printed with its goal; the exit code is 1 when one is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
AT_ONCE = 16
CREATES, READS, STARTS = 2000, 2000, 5
WATCHERS, WATCHED = 50, 400
OBJECTS = 5000


@dataclass(frozen=True)
class Row:
    """One measured number; `goal` is a ceiling, or a floor where `more` is better; None: only told."""

    what: str
    value: float
    unit: str
    goal: float | None
    more: bool = False

    @property
    def is_met(self) -> bool:
        if self.goal is None:
            return True
        return self.value >= self.goal if self.more else self.value <= self.goal

    def line(self) -> str:
        sign = ">=" if self.more else "<="
        goal = f"goal {sign} {self.goal:g}" if self.goal is not None else ""
        return f"{self.what:<52} {self.value:>9.3g} {self.unit:<5} {goal}{'' if self.is_met else '  MISSED'}"


@asynccontextmanager
async def server() -> AsyncIterator[tuple[aiohttp.ClientSession, int]]:
    """A whole testbed's process; yields a session on its API server and its process ID."""
    program = Path(__file__).with_name("testbed_process.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        url = (await process.stdout.readline()).decode().strip()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(url, connector=connector) as session:
            yield session, process.pid
    finally:
        process.stdin.close()
        await process.wait()


def claim(number: int) -> bytes:
    request = {"name": "r", "exactly": {"deviceClassName": "card"}}
    return json.dumps(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": f"c-{number}"},
            "spec": {"devices": {"requests": [request]}},
        }
    ).encode()


def config_map(number: int) -> bytes:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"m-{number}"}}
    return json.dumps(body | {"data": {"key": "x" * 200}}).encode()


async def post(session: aiohttp.ClientSession, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with session.post(path, data=body, headers=headers) as answer:
        content = await answer.read()
        if answer.status != 201:
            raise RuntimeError(content)


async def get(session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(path) as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(answer.status)


async def at_once(calls, limit: int = AT_ONCE) -> float:
    """Seconds for all calls, `limit` in flight."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(limit)))
    return time.perf_counter() - began


async def creates() -> list[Row]:
    return [
        await creating("claims", CLAIMS, claim),
        await creating("config maps", CONFIGMAPS, config_map),
    ]


async def creating(name: str, path: str, make: Callable[[int], bytes]) -> Row:
    async with server() as (session, _):
        seconds = await at_once([lambda n=n: post(session, path, make(n)) for n in range(CREATES)])
    return Row(
        f"creates a second, {name}, {AT_ONCE} at once", CREATES / seconds, "1/s", 500, more=True
    )


async def reads() -> list[Row]:
    async with server() as (session, _):
        await post(session, CLAIMS, claim(1))
        path = f"{CLAIMS}/c-1"
        one = await at_once([lambda: get(session, path) for _ in range(READS)], 1)
        many = await at_once([lambda: get(session, path) for _ in range(READS)])
    single, together = one / READS * 1e3, many / READS * 1e3
    return [
        Row("one claim read after the other, each (G)", single, "ms", None),
        Row(f"the same {AT_ONCE} at once, each", together, "ms", None),
        Row("100 claims read at once, in G", 100 * together / single, "G", 40),
    ]


async def watching() -> list[Row]:
    """Creates go on while all watch; each watcher must see each name once, in the order of creation."""
    async with server() as (session, _):
        seen: list[list[str]] = [[] for _ in range(WATCHERS)]
        ready = [asyncio.Event() for _ in range(WATCHERS)]

        async def watch(number: int) -> None:
            async with session.get(CONFIGMAPS, params={"watch": "1"}) as answer:
                ready[number].set()
                async for line in answer.content:
                    event = json.loads(line)
                    seen[number].append(
                        (event["type"], int(event["object"]["metadata"]["name"][2:]))
                    )
                    if len(seen[number]) == WATCHED:
                        return

        watchers = [asyncio.create_task(watch(n)) for n in range(WATCHERS)]
        await asyncio.gather(*(event.wait() for event in ready))
        began = time.perf_counter()
        for number in range(WATCHED):
            await post(session, CONFIGMAPS, config_map(number))
        made = time.perf_counter() - began
        await asyncio.gather(*watchers)
        took = time.perf_counter() - began
    whole = [("ADDED", n) for n in range(WATCHED)]
    wrong = sum(events != whole for events in seen)
    return [
        Row(f"of {WATCHERS} watchers lost, doubled or disordered", wrong, "", 0),
        Row(
            f"creates a second, one after the other, {WATCHERS} watching",
            WATCHED / made,
            "1/s",
            None,
        ),
        Row("events a second to all watchers", WATCHED * WATCHERS / took, "1/s", None),
    ]


async def memory() -> list[Row]:
    async with server() as (session, pid):
        empty = resident(pid)
        half = OBJECTS // 2
        await at_once([lambda n=n: post(session, CLAIMS, claim(n)) for n in range(half)])
        await at_once([lambda n=n: post(session, CONFIGMAPS, config_map(n)) for n in range(half)])
        await get(session, CLAIMS)
        full = resident(pid)
    return [
        Row("memory of an empty testbed's process", empty, "MB", None),
        Row(f"memory with {OBJECTS} objects, after listing half", full, "MB", 200),
    ]


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def starts() -> list[Row]:
    """From exec until the first node is ready, with imports."""
    program = Path(__file__).with_name("testbed_process.py")
    times = []
    for _ in range(STARTS):
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with process, contextlib.closing(process.stdin):
            process.stdout.readline()
            times.append(time.perf_counter() - began)
    return [Row(f"exec to a ready node, median of {STARTS}", statistics.median(times), "s", 1.5)]


async def main() -> int:
    """Measure everything and print it."""
    rows = starts()
    for part in (creates, reads, watching, memory):
        rows += await part()
    for row in rows:
        print(row.line())
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
