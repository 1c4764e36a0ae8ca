"""What a whole GPU costs beside a device without edits: `uv run python tests/bench/nvidia_claims.py`.

Two drivers on one node take turns, claim by claim: one of eight devices that returns no edits, which is the
framework's own share, and NVIDIA's on a machine with eight H100. F is an empty call on the socket of the latter. The
limit is three of them for all that a GPU needs: nodes looked at, edits made, encoded and written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
from claims import HERE, Bench, _method, api_server
from rich.console import Console
from rich.table import Table

from pydra_nvidia_fake import FakeHost

ROUNDS, WARM, LIMIT = 300, 50, 3
DEVICES = ("8",)


class Side(Bench):
    """One of the two drivers, its API server and its samples."""

    def __init__(
        self, root: Path, claims: list[tuple[str, str]], kubeconfig: Path, driver: str
    ) -> None:
        super().__init__(root, claims, kubeconfig)
        self.socket = root / "kubelet/plugins" / driver / "dra.sock"
        self.registry = root / "kubelet/plugins_registry" / f"{driver}-reg.sock"

    @contextlib.asynccontextmanager
    async def serving(self, program: Sequence[str], environ: dict[str, str]) -> AsyncIterator[None]:
        """Run the driver for the block."""
        variables = {
            "NODE_NAME": "node-1",
            "KUBECONFIG": str(self.kubeconfig),
            "KUBELET_ROOT": str(self.root / "kubelet"),
            "CDI_DIR": str(self.root / "cdi"),
            "LOG_LEVEL": "warning",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, "run", env=os.environ | variables | environ
        )
        try:
            await self._answering()
            async with grpc.aio.insecure_channel(f"unix:{self.socket}") as channel:
                self.prepare, self.unprepare = (
                    channel.unary_unary(_method(verb)) for verb in ("Prepare", "Unprepare")
                )
                yield
        finally:
            process.terminate()
            await process.wait()

    async def turn(self, number: int) -> None:
        """One empty call, and the life of one claim."""
        chosen = [self.claims[number]]
        await self._timed("F", self.prepare, [])
        await self._timed("prepare", self.prepare, chosen)
        await self._timed("unprepare", self.unprepare, chosen)

    def p50(self, name: str) -> float:
        """Milliseconds, without the first ones."""
        return statistics.median(self.samples[name][WARM:]) * 1000


@contextlib.asynccontextmanager
async def side(
    folder: Path, driver: str, prefix: str, program: Sequence[str], **environ: str
) -> AsyncIterator[Side]:
    """One driver with an API server of its own, spec files on tmpfs."""
    folder.mkdir()  # noqa: ASYNC240 (before anything is measured)
    cdi = Path(tempfile.mkdtemp(prefix="pd-", dir="/dev/shm"))
    (folder / "cdi").symlink_to(cdi)
    try:
        async with api_server(folder, ROUNDS + WARM, driver, prefix, *DEVICES) as (claims, config):
            made = Side(folder, claims, config, driver)
            async with made.serving(program, environ):
                yield made
    finally:
        shutil.rmtree(cdi)


def report(core: Side, gpu: Side) -> bool:
    """Print medians; returns whether the limit holds."""
    table = Table("what", "the framework's own", "a whole GPU", "more", "in F")
    f = gpu.p50("F")
    for name in ("F", "prepare", "unprepare"):
        more = gpu.p50(name) - core.p50(name)
        table.add_row(
            name,
            *(f"{value:.3f} ms" for value in (core.p50(name), gpu.p50(name), more)),
            f"{more / f:.2f}",
        )
    Console().print(table)
    reached = (gpu.p50("prepare") - core.p50("prepare")) / f
    print(f"limit: prepare of a whole GPU at most {LIMIT} F above the framework's own")
    return reached <= LIMIT


async def run() -> bool:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as name:
        folder = Path(name)
        host = FakeHost.build("h100x8", folder / "machine")
        plain = folder / "plain.py"
        source = (HERE / "driver.py").read_text()
        plain.write_text(source.replace('ContainerEdits(env=[f"CARD={a.device}"])', ""))
        async with (
            side(folder / "c", "card.acme.example", "card-", [str(plain)]) as core,
            side(
                folder / "g", "gpu.nvidia.com", "gpu-", ["-m", "pydra_nvidia"],
                NVIDIA_HOST_ROOT=str(host.root),
            ) as gpu,
        ):  # fmt: skip
            for number in range(ROUNDS + WARM):
                await core.turn(number)
                await gpu.turn(number)
        return report(core, gpu)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(run()) else 1)
