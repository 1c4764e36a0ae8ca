"""The claim path over a life: `uv run python tests/bench/claims_life.py [--claims N] [--plot FILE.svg]`.

Three parts. One and eight pods at once, on a cold driver and every few thousand claims of it, with its memory:
as a table and a plot. Ten thousand claims of a kubelet's life with failures, slow ones and repeats: nothing may
stay behind. And the driver's writes and syncs, counted outside of it by the crash tests' interposer: each group
of records that something waits for is synced once, neither never nor twice; anything else ends with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from claims import api_server
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))

from claim_life import DRIVER, footprint, live, memory  # noqa: E402 (the tests' support folder)
from crash_kit import interposer  # noqa: E402 (the tests' support folder)
from driver_world import NODE, Claim, World  # noqa: E402 (the tests' support folder)

from pydra_core._proto import dra_v1_pb2 as dra  # noqa: E402 (behind the folder)
from pydra_testbed.api import ApiServer, write_kubeconfig  # noqa: E402 (behind the folder)
from pydra_testbed.clock import RealClock  # noqa: E402 (behind the folder)

SOURCE = (HERE / "driver.py").read_text()
LOOKS = 6
DURABLE = (b'"op":"prepared"', b'"op":"released"')


@asynccontextmanager
async def world(kubeconfig: Path | None = None) -> AsyncIterator[World]:
    """A node as the contract tests have it, with another API server if one is given."""
    cdi = Path(tempfile.mkdtemp(prefix="pd-", dir="/dev/shm"))
    with tempfile.TemporaryDirectory(prefix="pd-") as folder:
        root = Path(folder)
        (root / "cdi").symlink_to(cdi)
        server = ApiServer(RealClock())
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await server.local.create("nodes", node)
        async with server.listen() as url:
            own = write_kubeconfig(root / "kubeconfig", url)
            made = World(root, server, kubeconfig or own)
            try:
                yield made
            finally:
                for driver in made.drivers:
                    await driver.stop()
                    sys.stderr.write(driver.logged()[-2000:] if driver.process.returncode else "")
                shutil.rmtree(cdi)


class Pods:
    """Asks a driver as the kubelet does for pods, over one connection."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._calls = {
            verb: channel.unary_unary(
                f"/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/Node{verb}Resources"
            )
            for verb in ("Prepare", "Unprepare")
        }

    async def ask(self, verb: str, claims: Sequence[Claim]) -> float:
        """Ask for claims in one call; returns the seconds it took."""
        refs = [dra.Claim(namespace=c.namespace, name=c.name, uid=c.uid) for c in claims]
        request = dra.NodePrepareResourcesRequest(claims=refs).SerializeToString()
        started = time.perf_counter()
        answer = await self._calls[verb](request, timeout=45)
        took = time.perf_counter() - started
        told = dra.NodePrepareResourcesResponse.FromString(answer).claims
        errors = [a.error for a in told.values() if a.error]
        if errors or len(told) != len(claims):
            raise RuntimeError(f"{verb}: {len(told)} of {len(claims)} answers; {errors[:1]}")
        return took

    async def rounds(self, claims: Sequence[Claim], pods: int, rounds: int) -> dict[str, float]:
        """Medians of a pod's prepare and unprepare, with so many pods at once, in seconds."""
        taken: dict[str, list[float]] = {}
        for number in range(rounds):
            start = number * pods % (len(claims) - pods)
            for verb in ("Prepare", "Unprepare"):
                each = [self.ask(verb, [c]) for c in claims[start : start + pods]]
                taken.setdefault(f"{verb.lower()} {pods}", []).extend(await asyncio.gather(*each))
        return {name: statistics.median(values) for name, values in taken.items()}


async def over_a_life(count: int) -> list[dict[str, float]]:
    """Look at a driver a few times in its life of `count` claims."""
    looks = []
    with tempfile.TemporaryDirectory(prefix="pd-") as folder:
        async with api_server(Path(folder), 1000) as (known, kubeconfig), world(kubeconfig) as made:
            claims = [Claim(name, uid) for name, uid in known]
            driver = await made.start(SOURCE, LOG_LEVEL="warning")
            await driver.registered()
            async with grpc.aio.insecure_channel(f"unix:{made.dra_socket}") as channel:
                pods = Pods(channel)
                for look in range(LOOKS):
                    measured = {"claims": look * count / (LOOKS - 1), "memory": memory(driver)}
                    measured |= await pods.rounds(claims, 1, 200)
                    measured |= await pods.rounds(claims, 8, 50)
                    looks.append(measured)
                    for start in range(0, count // (LOOKS - 1) if look < LOOKS - 1 else 0, 100):
                        some = [claims[(start + n) % len(claims)] for n in range(100)]
                        await pods.ask("Prepare", some)
                        await pods.ask("Unprepare", some)
    return looks


async def nothing_stays(count: int) -> str:
    """Live as `tests/contract/test_long_life.py` does, for longer; returns what was found."""
    async with world() as made:
        driver = await made.start(DRIVER, LOG_LEVEL="warning")
        await driver.registered()
        await live(made, driver, 400)
        before, used = await footprint(driver), memory(driver)
        await live(made, driver, count)
        grown, after = memory(driver) - used, await footprint(driver)
    if after != before:
        raise RuntimeError(f"after {count} claims: {after}, before: {before}")
    if grown > 5_000_000:
        raise RuntimeError(f"after {count} claims: {grown / 1e6:.1f} MB more")
    return (
        f"{count} claims: {before.open_files} open files, {before.threads} threads, {before.tasks} tasks and"
        f" {len(before.files)} files before and after; memory {grown / 1e6:+.1f} MB"
    )


async def syncs() -> list[tuple[str, int, int, int]]:
    """Count each call's writes and syncs of the journal: name, claims, writes, syncs."""
    counted = []
    async with world() as made:
        library = interposer.build(made.root)
        if library is None:
            raise RuntimeError("gcc is not installed: writes and syncs cannot be counted")
        log = made.root / "calls"
        driver = await made.start(
            SOURCE,
            LD_PRELOAD=str(library),
            CRASH_ROOTS=str(made.dra_socket.parent),
            CRASH_LOG=str(log),
        )
        claims = [await made.claim(f"card-{n}") for n in range(100)]
        for size in (1, 16, 100):
            for ask in (driver.prepare, driver.unprepare):
                seen = len(interposer.read_log(log))
                await ask(*claims[:size])
                calls = [e.call for e in _checked(interposer.read_log(log)[seen:])]
                writes = sum("write" in call for call in calls)
                counted.append((f"{ask.__name__} {size}", size, writes, len(calls) - writes))
    return counted


def _checked(events: Sequence[interposer.Event]) -> list[interposer.Event]:
    """The journal's writes and syncs during one call; every durable record is synced before the answer, once."""
    ours = [e for e in events if e.call in {"write", "pwrite", "fsync", "fdatasync"}]
    owed = 0
    for event in ours:
        if "write" in event.call:
            owed += sum(event.data.count(op) for op in DURABLE)
        elif not owed:
            raise RuntimeError(f"a sync that nothing waited for: {event}")
        else:
            owed = 0
    if owed:
        raise RuntimeError(f"{owed} records were answered and never synced")
    return ours


def plot(looks: Sequence[dict[str, float]]) -> str:
    """The life as a picture: latencies on the left, memory on the right, claims from left to right."""
    lines = {
        "prepare 1": ("one pod: prepare", "#1f77b4"),
        "unprepare 1": ("one pod: unprepare", "#17becf"),
        "prepare 8": ("eight pods at once: prepare", "#d62728"),
        "unprepare 8": ("eight pods at once: unprepare", "#ff7f0e"),
        "memory": ("resident memory", "#7f7f7f"),
    }
    most = looks[-1]["claims"]
    top = 1.15 * max(look[name] for look in looks for name in lines if name != "memory")
    parts = [_text(40, 20, f"{dt.date.today():%Y-%m-%d}: p50 over the claims of a life")]  # noqa: DTZ011 (a date for people)
    for part in range(5):
        y = 340 - 75 * part
        parts += [
            f'<path d="M60 {y}H640" stroke="#ddd"/>',
            _text(8, y + 4, f"{top * part / 4 * 1e3:.1f} ms"),
            _text(648, y + 4, f"{20 * part} MB"),
        ]
    parts += [_text(60 + 580 * part / 5 - 18, 360, f"{most * part / 5:,.0f}") for part in range(6)]
    for number, (name, (label, colour)) in enumerate(lines.items()):
        height = 80e6 if name == "memory" else top
        points = " ".join(
            f"{60 + 580 * look['claims'] / most:.1f},{340 - 300 * look[name] / height:.1f}"
            for look in looks
        )
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            _text(60 + 215 * (number % 3), 385 + 18 * (number // 3), f"— {label}", colour),
        ]
    body = "\n".join(parts)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 710 415" font-family="sans-serif" font-size="12">\n'
        f'<rect width="710" height="415" fill="white"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, colour: str = "#333") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}">{text}</text>'


def report(console: Console, looks: Sequence[dict[str, float]]) -> None:
    """Print the life as a table."""
    names = [name for name in looks[0] if name not in {"claims", "memory"}]
    table = Table("claims so far", *(f"{n}, p50" for n in names), "memory", box=None)
    for look in looks:
        cells = [f"{look[name] * 1e3:.2f} ms" for name in names]
        table.add_row(f"{look['claims']:,.0f}", *cells, f"{look['memory'] / 1e6:.1f} MB")
    console.print(table)


async def main(arguments: argparse.Namespace) -> None:
    """Run all three parts."""
    console = Console(width=130)
    for name, claims, writes, synced in await syncs():
        console.print(f"{name}: {claims} claims, {writes} writes, {synced} syncs")
    looks = await over_a_life(arguments.claims)
    report(console, looks)
    if arguments.plot:
        arguments.plot.write_text(plot(looks))
    console.print(await nothing_stays(arguments.life))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--claims", type=int, default=25_000, help="claims between first and last look"
    )
    parser.add_argument("--life", type=int, default=10_000, help="claims of the kubelet's life")
    parser.add_argument("--plot", type=Path, help="write the picture to this .svg")
    asyncio.run(main(parser.parse_args()))
