"""The tool for MPS of a fake machine, and programs on its GPUs, each in a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from nvidia_hosts import fake_host

from pydra_nvidia_fake import Description

__all__ = ["fake_host"]
PROGRAM = (sys.executable, "-m", "pydra_nvidia_fake.mps_client")


class Program:
    """A program on a GPU; `seen` is the first line it printed."""

    def __init__(self, env, *options):
        self.process = subprocess.Popen(
            [*PROGRAM, *options], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def seen(self):
        return json.loads(self.process.stdout.readline())

    def fault(self):
        self.process.stdin.write("fault\n")
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        with self.process:
            return self.process.wait(20)


class Mps:
    """One folder of a daemon of a machine."""

    def __init__(self, host, folder):
        self.host, self.folder = host, folder
        self.env = os.environ | {
            "CUDA_MPS_PIPE_DIRECTORY": f"{folder}/p",
            "CUDA_MPS_LOG_DIRECTORY": f"{folder}/l",
            "NVIDIA_HOST_ROOT": str(host.root),
        }
        self.programs = []

    def run(self, *arguments, say=(), **env):
        return subprocess.run(
            [str(self.host.mps.tool), *arguments],
            env=self.env | env,
            input="".join(f"{line}\n" for line in say),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def start(self, *arguments, **env):
        assert self.run("-d", *arguments, **env).returncode == 0

    def say(self, *lines, **env):
        """What the tool answers."""
        done = self.run(say=lines, **env)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def program(self, *options, **env):
        """Start a program and leave it on its GPU."""
        self.programs.append(Program(self.env | env, *options))
        return self.programs[-1]

    def seen(self, *options, **env):
        """What a program sees that ends at once."""
        program = self.program("--once", *options, **env)
        try:
            return program.seen
        finally:
            program.end()

    @property
    def pid(self):
        return int(Path(self.folder, "p/nvidia-cuda-mps-control.pid").read_text())

    @property
    def log(self):
        return Path(self.folder, "l/control.log").read_text()

    def kill(self, number=signal.SIGKILL):
        """Kill the daemon, and wait until it is gone."""
        pidfd = os.pidfd_open(self.pid)
        os.kill(self.pid, number)
        assert_ends(pidfd)

    def close(self):
        for program in self.programs:
            program.process.kill()
            for file in (program.process.stdin, program.process.stdout):
                with suppress(OSError):
                    file.close()
            program.process.wait()
        self.host.mps.kill()


def assert_ends(descriptor):
    """A process that `pidfd_open` was asked for ends."""
    with os.fdopen(descriptor) as file:
        assert select.select([file], [], [], 20)[0]


@pytest.fixture
def mps(fake_host):
    """A machine's tool in a folder with a short name: `mps("h200x8", "595.58.03")`, and what else it can do."""
    made = []
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:

        def build(name="h200x8", driver=None, **can):
            described = Description.load(name)
            host = fake_host(replace(described, driver=driver or described.driver, mps=can))
            inner = Path(folder, str(len(made)))
            inner.mkdir()
            made.append(Mps(host, inner))
            return made[-1]

        yield build
        for one in made:
            one.close()
