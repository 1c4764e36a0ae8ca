"""Speed of the claim path as ratios of one run: `uv run python tests/bench/claims.py [--samples FILE]`.

D is an append of 600 bytes and fdatasync on the journal's file system, F an empty call on the driver's socket, G
one claim read from the API server in use. Driver and API server are processes of their own; every claim's UID is
fresh; the spec directory is on tmpfs, as on a node.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from rich.console import Console
from rich.table import Table

from pydra_core._api.access import find
from pydra_core._api.client import KubeClient
from pydra_core._proto import dra_v1_pb2 as dra
from pydra_core._proto import pluginregistration_v1_pb2 as registration

HERE = Path(__file__).parent
SIZES = {1: 300, 16: 40, 100: 10}
LIMITS = {
    "prepare 1": "2D + 4F + G", "prepare 16": "2D + 12F + 6G", "prepare 100": "2D + 60F + 40G",
    "unprepare 1": "2D + 3F", "unprepare 16": "2D + 8F", "unprepare 100": "2D + 40F",
}  # fmt: skip


class Bench:
    """One driver on one node, and the samples taken of it, in seconds."""

    def __init__(self, root: Path, claims: list[tuple[str, str]], kubeconfig: Path) -> None:
        self.root, self.claims, self.kubeconfig = root, claims, kubeconfig
        self.samples: dict[str, list[float]] = {}
        self.socket = root / "kubelet" / "plugins" / "card.acme.example" / "dra.sock"
        self.registry = root / "kubelet" / "plugins_registry" / "card.acme.example-reg.sock"

    async def run(self) -> None:
        started = time.perf_counter()
        process = await self._start()
        try:
            await self._answering()
            self.add("exec to both sockets answering", time.perf_counter() - started)
            await self._measure(process)
        finally:
            process.terminate()
            await process.wait()
        for _ in range(9):
            started = time.perf_counter()
            process = await self._start()
            await self._answering()
            self.add("exec to both sockets answering", time.perf_counter() - started)
            process.terminate()
            await process.wait()

    def add(self, name: str, seconds: float) -> None:
        self.samples.setdefault(name, []).append(seconds)

    async def _start(self) -> asyncio.subprocess.Process:
        environ = {
            "NODE_NAME": "node-1",
            "KUBECONFIG": str(self.kubeconfig),
            "KUBELET_ROOT": str(self.root / "kubelet"),
            "CDI_DIR": str(self.root / "cdi"),
            "LOG_LEVEL": "warning",
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "driver.py"), "run", env=os.environ | environ
        )

    async def _answering(self) -> None:
        for path, method, request in (
            (self.registry, "/pluginregistration.Registration/GetInfo", registration.InfoRequest()),
            (self.socket, _method("Prepare"), dra.NodePrepareResourcesRequest()),
        ):
            while not path.exists():  # noqa: ASYNC110 (the start of another process is measured)
                await asyncio.sleep(0.001)
            async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
                await channel.unary_unary(method)(
                    request.SerializeToString(), wait_for_ready=True, timeout=10
                )

    async def _measure(self, process: asyncio.subprocess.Process) -> None:
        self._disk()
        await self._reads()
        async with grpc.aio.insecure_channel(f"unix:{self.socket}") as channel:
            prepare, unprepare = (
                channel.unary_unary(_method(verb)) for verb in ("Prepare", "Unprepare")
            )
            for _ in range(300):
                await self._timed("F", prepare, [])
            for size, rounds in SIZES.items():
                for number in range(rounds):
                    start = number * size % (len(self.claims) - size + 1)
                    chosen = self.claims[start : start + size]
                    await self._timed(f"prepare {size}", prepare, chosen)
                    await self._timed(f"unprepare {size}", unprepare, chosen)
        status = Path(f"/proc/{process.pid}/status").read_text()  # noqa: ASYNC240 (a line of procfs)
        self.samples["resident memory after it, bytes"] = [
            float(status.split("VmRSS:")[1].split()[0]) * 1024
        ]

    def _disk(self) -> None:
        fd = os.open(self.root / "disk", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for _ in range(200):
            started = time.perf_counter()
            os.write(fd, b"x" * 600)
            os.fdatasync(fd)
            self.add("D", time.perf_counter() - started)
        os.close(fd)

    async def _reads(self) -> None:
        client = KubeClient(find(str(self.kubeconfig), {}))
        for number in range(300):
            started = time.perf_counter()
            await client.get(
                f"/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/claim-{number % 50}"
            )
            self.add("G", time.perf_counter() - started)
        await client.close()

    async def _timed(
        self, name: str, call: grpc.aio.UnaryUnaryMultiCallable, claims: list[tuple[str, str]]
    ) -> None:
        refs = [dra.Claim(namespace="default", name=n, uid=u) for n, u in claims]
        request = dra.NodePrepareResourcesRequest(claims=refs).SerializeToString()
        started = time.perf_counter()
        answer = await call(request, timeout=45)
        self.add(name, time.perf_counter() - started)
        parsed = dra.NodePrepareResourcesResponse.FromString(answer)
        errors = [a.error for a in parsed.claims.values() if a.error]
        if errors or len(parsed.claims) != len(claims):
            raise RuntimeError(
                f"{name}: {len(parsed.claims)} of {len(claims)} answers, first error: {errors[:1]}"
            )


def _method(verb: str) -> str:
    return f"/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/Node{verb}Resources"


@contextlib.asynccontextmanager
async def api_server(
    root: Path, count: int, *of: str
) -> AsyncIterator[tuple[list[tuple[str, str]], Path]]:
    """Run the API server's process; yields the claims in it and its kubeconfig. `of`: whose claims, see there."""
    kubeconfig = root / "kubeconfig"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "api_process.py"),
        str(kubeconfig),
        str(count),
        *of,
        stdin=pipe,
        stdout=pipe,
    )
    if process.stdout is None:
        raise RuntimeError("the API server's process has no output")
    claims = []
    while line := (await process.stdout.readline()).decode().split():
        claims.append((line[0], line[1]))
    try:
        yield claims, kubeconfig
    finally:
        await process.communicate(b"")


def report(samples: dict[str, list[float]], root: Path) -> None:
    """Print medians, and each limit of the design beside what was reached."""
    medians = {name: statistics.median(values) for name, values in samples.items()}
    known = {letter: medians[letter] for letter in "DFG"}
    table = Table("what", "p50", "p99", "n", "limit", "limit is", "ratio", box=None)
    for name, values in samples.items():
        if name.startswith("resident"):
            table.add_row(name, f"{values[0] / 1e6:.1f} MB")
            continue
        limit = LIMITS.get(name, "")
        bound = sum(int(t[:-1] or 1) * known[t[-1]] for t in limit.split(" + ")) if limit else 0.0
        ninety_nine = sorted(values)[max(0, int(len(values) * 0.99) - 1)]
        shown = (
            (limit, f"{bound * 1e3:.2f} ms", f"{medians[name] / bound:.2f}")
            if limit
            else ("", "", "")
        )
        table.add_row(
            name,
            f"{medians[name] * 1e3:.3f} ms",
            f"{ninety_nine * 1e3:.2f} ms",
            str(len(values)),
            *shown,
        )
    console = Console(width=120)
    console.print(
        f"{platform.platform()}, CPython {platform.python_version()}, {os.cpu_count()} CPUs"
    )
    console.print(f"journal on {_file_system(root)}, spec files on {_file_system(root / 'cdi')}")
    console.print(table)


def _file_system(path: Path) -> str:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [m for m in mounts if path.resolve().is_relative_to(m[1])]
    return max(inside, key=lambda m: len(m[1]))[2]


async def main() -> dict[str, list[float]]:
    """Measure once, report, and return the samples."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir=tempfile.gettempdir()) as folder:
        root = Path(folder)
        cdi = Path(tempfile.mkdtemp(prefix="pd-", dir="/dev/shm"))
        (root / "cdi").symlink_to(cdi)
        try:
            async with api_server(root, 1000) as (claims, kubeconfig):
                bench = Bench(root, claims, kubeconfig)
                await bench.run()
            report(bench.samples, root)
        finally:
            shutil.rmtree(cdi)
    return bench.samples


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, help="write the raw samples to this .json.gz")
    arguments = parser.parse_args()
    taken = asyncio.run(main())
    if arguments.samples:
        arguments.samples.write_bytes(gzip.compress(json.dumps(taken).encode(), mtime=0))
