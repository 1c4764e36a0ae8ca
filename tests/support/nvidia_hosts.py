"""Machines with NVIDIA GPUs, and NVML on them: through the shield as a driver has it, or by pynvml in the test itself."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import ClassVar

import pynvml
import pytest

from pydra_core import Driver, Inventory
from pydra_core.sdk import Sdk
from pydra_nvidia import reading
from pydra_nvidia.driver import NvidiaDriver
from pydra_nvidia_fake import FakeHost, descriptions

LIBRARY = "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
HOSTS = descriptions()
nvml = Sdk("pydra_nvidia.nvml")


class Probe(Driver):
    """Has a shield, as every driver has."""

    name: ClassVar[str] = "gpu.example.com"

    async def discover(self):
        return Inventory()

    async def prepare(self, _claim):
        return []


class Asked:
    """A machine, and a driver's way to its NVML."""

    def __init__(self, host):
        self.host = host
        self.sdk = Probe(host.root).sdk
        self.root = str(host.driver_root)

    async def snapshot(self, **options):
        return reading.snapshot(await self.sdk(nvml.snapshot, self.root, **options), self.host.root)

    async def health(self, **options):
        return reading.conditions(await self.sdk(nvml.health, self.root, **options), self.host.root)

    async def reports(self, retry=0.05):
        async for sent in self.sdk.events(nvml.reports, self.root, retry):
            yield reading.event(sent, self.host.root)


@pytest.fixture
def fake_host(tmp_path):
    """Build a machine in a folder of its own."""
    if not shutil.which("cc") and not shutil.which("gcc"):
        pytest.skip("no C compiler to build the stub of NVML with")

    def build(description, **options):
        count = len([*tmp_path.glob("host-*")])
        return FakeHost.build(description, tmp_path / f"host-{count}", **options)

    return build


@pytest.fixture
async def asked(fake_host):
    """Build a machine and ask its NVML in a worker."""
    made = []

    def make(description, **options):
        made.append(Asked(fake_host(description, **options)))
        return made[-1]

    yield make
    for one in made:
        await one.sdk.close()


@pytest.fixture
def bound(fake_host):
    """The real pynvml in this process, on a machine's stub."""

    def bind(description, **options):
        host = fake_host(description, **options)
        pynvml._nvmlGetFunctionPointer_cache.clear()
        pynvml.nvmlLib = ctypes.CDLL(str(host.driver_root / LIBRARY))
        pynvml.nvmlInitWithFlags(1)
        return host

    yield bind
    pynvml._nvmlGetFunctionPointer_cache.clear()
    pynvml.nvmlLib = None


def handle(index=0):
    return pynvml.nvmlDeviceGetHandleByIndex(index)


def code(error):
    return error.value.value


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.fixture
async def driver():
    """Make drivers of machines and end their workers."""
    made = []

    def make(host):
        made.append(NvidiaDriver(host.root))
        return made[-1]

    yield make
    for one in made:
        await one.sdk.close()
