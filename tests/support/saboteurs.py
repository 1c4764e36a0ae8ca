"""The library that misbehaves, built; a shield around it; and a clock that tests move."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pydra_core._shield.limits import Limits
from pydra_core._shield.shield import Shield
from pydra_core._shield.ward import Surroundings
from pydra_core.sdk import MIB, Sdk

SUPPORT = Path(__file__).parent
DRIVER = (SUPPORT / "saboteur_driver.py").read_text()
QUICK = Limits(first_pause=0.001, longest_pause=0.01, grace=0.05, kill=0.2)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler to build the misbehaving library with")
    built = tmp_path_factory.mktemp("saboteur") / "saboteur.so"
    source = SUPPORT / "c" / "saboteur.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, source], check=True)
    return built


@dataclass
class Sabotage:
    """A shield in this process, what it reports, and the SDK module's name."""

    shield: Shield
    card: Sdk
    now: float = 0.0
    calls: list = field(default_factory=list)
    ended: list = field(default_factory=list)
    quarantined: list = field(default_factory=list)
    stuck: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def vendor_call(self, operation, reason, _seconds):
        self.calls.append((operation, reason))

    def vendor_worker_ended(self, _module, reason):
        self.ended.append(reason)
        self.changed.set()

    def vendor_quarantined(self, _module, operations):
        self.quarantined.append(operations)
        self.changed.set()

    def vendor_stuck(self, _module, change):
        self.stuck += change
        self.changed.set()

    async def until(self, holds):
        """Wait until the shield has reported what makes `holds()` true."""
        while not holds():
            self.changed.clear()
            await self.changed.wait()


def make(
    library, *, limits=QUICK, kill=os.kill, memory=128 * MIB, module="saboteur_sdk", **environ
):
    made = Sabotage(None, Sdk(module, memory=memory, environ={"SABOTEUR": str(library)} | environ))
    made.shield = Shield(Surroundings(limits, lambda: made.now, kill))
    made.shield.observe(made)
    return made


@pytest.fixture
async def sabotage(library):
    made = make(library)
    try:
        yield made
    finally:
        await made.shield.close()


def is_gone(pid, seconds=10):
    """Wait for the end of a process that is not ours to reap."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)
