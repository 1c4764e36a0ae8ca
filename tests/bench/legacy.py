"""Speed of device plugin calls as ratios of one run: `uv run python tests/bench/legacy.py [--ids N]`.

F is an empty call on the same socket (GetDevicePluginOptions), D an append of 600 bytes and fdatasync on the journal's
file system. All pods of a node wait while a kubelet calls Allocate: its p99 is to stay within 10F, for a container that
gets one ID nobody had. Driver and kubelet are processes of their own; the spec directory is on tmpfs, as on a node.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.table import Table

from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb

HERE = Path(__file__).parent
LIMIT = 10
FRESH, EIGHT, ROUNDS = 400, 20, 300


class Kubelet:
    """As much of one as a driver needs to register."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoint: asyncio.Future[Path] = asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Take registrations."""
        self.folder.mkdir(parents=True)
        server = grpc.aio.server()
        register = grpc.unary_unary_rpc_method_handler(
            self._register,
            request_deserializer=pb.RegisterRequest.FromString,
            response_serializer=pb.Empty.SerializeToString,
        )
        handlers = {"Register": register}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1beta1.Registration", handlers),)
        )
        server.add_insecure_port(f"unix:{self.folder / 'kubelet.sock'}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)

    async def _register(self, request: pb.RegisterRequest, _context: Any) -> pb.Empty:
        if not self.endpoint.done():
            self.endpoint.set_result(self.folder / request.endpoint)
        return pb.Empty()


@contextlib.asynccontextmanager
async def driver(root: Path, count: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the driver, without DRA."""
    environ = {
        "NODE_NAME": "node-1",
        "KUBECONFIG": str(root / "kubeconfig"),
        "KUBELET_ROOT": str(root / "kubelet"),
        "CDI_DIR": str(root / "cdi"),
        "ENABLE_DRA": "false",
        "ENABLE_DEVICE_PLUGIN": "true",
        "BENCH_IDS": str(count),
        "LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "legacy_driver.py"), "run", env=os.environ | environ
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


class Bench:
    """The calls, and how many seconds each took."""

    def __init__(self, channel: grpc.aio.Channel, count: int) -> None:
        self.samples: dict[str, list[float]] = {}
        self._count = count
        self._methods = {
            name: channel.unary_unary(f"/v1beta1.DevicePlugin/{name}")
            for name in ("GetDevicePluginOptions", "GetPreferredAllocation", "Allocate", "PreStartContainer")
        }  # fmt: skip
        self._list = channel.unary_stream("/v1beta1.DevicePlugin/ListAndWatch")

    async def run(self) -> None:
        await self._first_list()
        names = [f"card-{n % 8}::{n}" for n in range(self._count)]
        for _ in range(ROUNDS):
            await self._timed("F", "GetDevicePluginOptions", pb.Empty())
        for name in names[:FRESH]:
            await self._timed("Allocate, 1 new ID", "Allocate", _allocate([name]))
        for name in names[:ROUNDS]:
            await self._timed("Allocate, 1 ID again", "Allocate", _allocate([name]))
        for start in range(FRESH, FRESH + 8 * EIGHT, 8):
            eight = _allocate(names[start : start + 8])
            await self._timed("Allocate, 8 new IDs", "Allocate", eight)
        for name in names[:ROUNDS]:
            request = pb.PreStartContainerRequest(devices_ids=[name])
            await self._timed("PreStartContainer, 1 ID", "PreStartContainer", request)
        for _ in range(20):
            asked = pb.ContainerPreferredAllocationRequest(
                available_deviceIDs=names, allocation_size=8
            )
            request = pb.PreferredAllocationRequest(container_requests=[asked])
            await self._timed(
                f"GetPreferredAllocation, 8 of {self._count}", "GetPreferredAllocation", request
            )

    async def _first_list(self) -> None:
        started = time.perf_counter()
        call = self._list(pb.Empty().SerializeToString())
        listed = pb.ListAndWatchResponse.FromString(await call.read())
        self.samples[f"first list of {len(listed.devices)} IDs"] = [time.perf_counter() - started]
        call.cancel()

    async def _timed(self, name: str, method: str, request: Any) -> None:
        encoded = request.SerializeToString()
        started = time.perf_counter()
        await self._methods[method](encoded, timeout=45)
        self.samples.setdefault(name, []).append(time.perf_counter() - started)


def _allocate(names: list[str]) -> pb.AllocateRequest:
    return pb.AllocateRequest(container_requests=[pb.ContainerAllocateRequest(devices_ids=names)])


def disk(root: Path) -> list[float]:
    """What D is here."""
    taken = []
    fd = os.open(root / "disk", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(200):
        started = time.perf_counter()
        os.write(fd, b"x" * 600)
        os.fdatasync(fd)
        taken.append(time.perf_counter() - started)
    os.close(fd)
    return taken


def report(samples: dict[str, list[float]]) -> None:
    """Print p50 and p99, and how many F each is."""
    empty = statistics.median(samples["F"])
    table = Table("what", "p50", "p99", "n", "p50 / F", "p99 / F", "limit", box=None)
    for name, values in samples.items():
        median, last = (
            statistics.median(values),
            sorted(values)[max(0, int(len(values) * 0.99) - 1)],
        )
        table.add_row(
            name,
            f"{median * 1e3:.2f} ms",
            f"{last * 1e3:.2f} ms",
            str(len(values)),
            f"{median / empty:.1f}",
            f"{last / empty:.1f}",
            f"p99 within {LIMIT}F" if name == "Allocate, 1 new ID" else "",
        )
    console = Console(width=120)
    console.print(
        f"{platform.platform()}, CPython {platform.python_version()}, {os.cpu_count()} CPUs"
    )
    console.print(f"load {os.getloadavg()[0]:.1f}")
    console.print(table)


async def main(count: int) -> None:
    """Measure once and report."""
    with (
        tempfile.TemporaryDirectory(prefix="pd-", dir=tempfile.gettempdir()) as folder,
        tempfile.TemporaryDirectory(prefix="pd-", dir="/dev/shm") as cdi,
    ):
        root = Path(folder)
        (root / "cdi").symlink_to(cdi)
        (root / "kubeconfig").write_text(KUBECONFIG, encoding="utf-8")
        kubelet = Kubelet(root / "kubelet" / "device-plugins")
        async with kubelet.serving(), driver(root, count):
            path = await kubelet.endpoint
            options = [("grpc.max_receive_message_length", 4 << 20)]
            async with grpc.aio.insecure_channel(f"unix:{path}", options) as channel:
                bench = Bench(channel, count)
                await bench.run()
        bench.samples["D"] = disk(root)
    report(bench.samples)


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: none, user: {}}]
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=600, help="how many IDs the driver offers")
    asyncio.run(main(parser.parse_args().ids))
