"""The real keeper on a fake machine, and the real client: `keeper_world`. Killed and started anew as tests like."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from nvidia_hosts import fake_host

from pydra_nvidia.mps.client import Keeper
from pydra_nvidia.mps.values import MpsGpu, Tenant
from pydra_nvidia_fake.description import Description

__all__ = ["fake_host", "keeper_world"]
MIB, GIB = 1 << 20, 1 << 30
_DEADLINE = 60


_TRAP = """
if [ -z "$TOLD_BY_TEST" ]; then
n=$(cat "$0.count" 2>/dev/null || echo 0); n=$((n+1)); echo $n > "$0.count"
case "$(cat "$0.trap" 2>/dev/null)" in
"before $n") kill -9 $PPID; exit 1;;
"after $n") if [ "$1" != -f ]; then {python} -IS "$0" "$@"; kill -9 $PPID; exit 1; fi; kill -9 $PPID;;
esac
fi
exec"""


class KeeperWorld:
    """One machine, one folder, one keeper at a time."""

    def __init__(self, host, folder):
        self.host, self.folder = host, folder
        self.keeper = Keeper(folder, patience=_DEADLINE)
        self.process = None
        self.log = ""
        self.clients = []

    def gpu(self, index=0, **changed):
        state = self.host.gpus[index].state
        capability = f"{state.cc_major}.{state.cc_minor}"
        known = {"uuid": self.host.gpus[index].uuid, "sms": state.sm, "memory": state.memory_total}
        return MpsGpu(**(known | {"compute_capability": capability} | changed))

    @property
    def uuid(self):
        return self.host.gpus[0].uuid

    @property
    def own(self):
        """The folder of the first GPU."""
        return self.folder / self.uuid

    def roster(self):
        return json.loads((self.own / "roster.json").read_text())

    def partitions(self):
        """Which partitions the daemon of the first GPU has, by the tool's own word."""
        rows = [line.split() for line in self.tell("lspart").splitlines()]
        return {row[1]: int(row[5]) for row in rows if row[0].startswith("GPU-") and row[1] != "-"}

    def tell(self, *lines):
        """Give the daemon of the first GPU commands, as an operator would."""
        return told(self.host.mps.tool, self.own / "pipe", *lines)

    def run(self, *words):
        """Run the tool with arguments, for the daemon of the first GPU."""
        return told(self.host.mps.tool, self.own / "pipe", words=words)

    def trapped(self):
        """Let the tool kill the keeper at a call of it, by `spring`."""
        tool = self.host.mps.tool
        script = tool.read_text()
        trap = _TRAP.replace("{python}", sys.executable)
        tool.write_text(script.replace("\nexec", trap, 1))
        return self

    def spring(self, when, number):
        """Kill the keeper `before` or `after` that call from now on; a daemon is started all the same by `after`."""
        self._beside("trap").write_text(f"{when} {self.calls + number}")

    @property
    def calls(self):
        """How often the tool was run."""
        count = self._beside("count")
        return int(count.read_text()) if count.exists() else 0

    def _beside(self, what):
        tool = self.host.mps.tool
        return tool.with_name(f"{tool.name}.{what}")

    async def start(self, *arguments, within=(), **environ):
        """Start the keeper, by another program if need be, and wait until it serves."""
        self.process = await asyncio.create_subprocess_exec(
            *within, sys.executable, "-m", "pydra_nvidia", "mps-keeper", *arguments,
            env=os.environ | {"NVIDIA_HOST_ROOT": str(self.host.root), "NVIDIA_MPS_DIR": str(self.folder)} | environ,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(_DEADLINE):
            async for line in self.process.stderr:
                self.log += line.decode()
                if b": serving" in line:
                    return self.keeper
        raise AssertionError(self.log)

    async def logged(self):
        """What the keeper that has ended wrote."""
        self.log += (await self.process.stderr.read()).decode()
        return self.log

    async def kill(self):
        """End the keeper at once, and nothing else."""
        self.process.kill()
        await self.process.wait()
        await self.logged()

    async def stop(self):
        self.process.terminate()
        code = await asyncio.wait_for(self.process.wait(), _DEADLINE)
        await self.logged()
        return code

    async def state(self, index=0):
        """Of the daemon of one GPU; None if there is nothing to tell of it."""
        uuid = self.host.gpus[index].uuid
        return next((s for s in await self.keeper.daemons() if s.gpu == uuid), None)

    async def program(self, env, *, stays=True):
        """Run a program as a tenant's container would; what it sees."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pydra_nvidia_fake.mps_client", *(() if stays else ("--once",)),
            env={k: v for k, v in os.environ.items() if not k.startswith("CUDA_")} | env | {"NVIDIA_HOST_ROOT": str(self.host.root)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.clients.append(process)
        line = await asyncio.wait_for(process.stdout.readline(), _DEADLINE)
        return process, json.loads(line)

    async def sees(self, env):
        process, seen = await self.program(env, stays=False)
        await process.wait()
        return seen

    async def close(self):
        for process in (*self.clients, self.process):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        self.host.mps.kill()


def tenant(number=1, **changed):
    """A tenant of a claim of its own."""
    return Tenant(f"uid-{number}", f"ns/claim-{number}", "gpu-0", f"share-{number}", **changed)


def told(tool, pipe, *lines, words=()):
    """What the tool prints when it is given these lines, or arguments."""
    environ = os.environ | {"CUDA_MPS_PIPE_DIRECTORY": str(pipe), "TOLD_BY_TEST": "yes"}
    text = "".join(f"{line}\n" for line in lines)
    ended = subprocess.run(
        [tool, *words], input=text, env=environ, capture_output=True, text=True, check=False, timeout=_DEADLINE
    )  # fmt: skip
    return ended.stdout


def killed(pid):
    """Kill a process, and return when it has ended."""
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        assert select.select([fd], [], [], _DEADLINE)[0]
    finally:
        os.close(fd)


@pytest.fixture
async def keeper_world(fake_host):
    """Make a machine with a driver of that version, and a folder for its keeper."""
    async with contextlib.AsyncExitStack() as stack:

        def make(driver="580.95.05", name="h100x8", **options):
            described = dataclasses.replace(Description.load(name), driver=driver, mps=options)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp"))
            world = KeeperWorld(fake_host(described), Path(folder))
            stack.push_async_callback(world.close)
            return world

        yield make
