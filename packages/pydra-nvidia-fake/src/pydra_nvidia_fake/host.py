"""A machine with GPUs in a folder. Tests and demos build it, let a driver read it, and make it misbehave.

The state lies in a file beside the stub that every process maps: what one creates, all others see, and what is
done here takes effect in the next call of whoever runs.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from pydra_nvidia_fake import installed, trouble
from pydra_nvidia_fake.description import Description
from pydra_nvidia_fake.filling import fill
from pydra_nvidia_fake.layout import ComputeInstance, Gpu, GpuInstance, State
from pydra_nvidia_fake.library import SONAME, library
from pydra_nvidia_fake.mps.handle import FakeMps
from pydra_nvidia_fake.tree import CAPABILITIES, Tree, bus_id

_STATE = "fake-nvml.state"


class Mig(IntEnum):
    """MIG modes."""

    OFF = 0
    ON = 1


@dataclass(frozen=True, slots=True)
class Instance:
    """A GPU instance as it is now: its ID, profile, first memory slice, and slices of its compute instances by ID."""

    id: int
    profile: str
    start: int
    computes: dict[int, int]


class FakeGpu:
    """One GPU of a fake machine. `state` is what the stub answers with: set a field, and the next call says so."""

    def __init__(self, state: Gpu) -> None:
        self.state = state

    @property
    def uuid(self) -> str:
        return str(self.state.uuid.decode())

    @property
    def minor(self) -> int:
        return int(self.state.minor)

    @property
    def bus_id(self) -> str:
        return bus_id(self.state)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The GPU instances there are, by first memory slice."""
        gpu = self.state
        found = [
            Instance(
                one.id,
                gpu.profiles[one.profile].name.decode(),
                one.place.start,
                {c.id: c.place.size for c in gpu.computes if c.used and c.instance == slot},
            )
            for slot, one in enumerate(gpu.instances)
            if one.used
        ]
        return tuple(sorted(found, key=lambda one: one.start))

    @property
    def mig_uuids(self) -> tuple[str, ...]:
        """UUIDs of the MIG devices, in NVML's order."""
        return tuple(str(c.uuid.decode()) for c in self.state.computes if c.used)


class FakeHost(trouble.Trouble):
    """A fake machine: `build` makes one, the constructor takes one that was built, by whichever process.

    Attributes:
        root: What stands for `/`.
        driver_root: Where the driver is installed in it.
    """

    def __init__(self, root: Path, driver_root: str = "") -> None:
        self.root = root
        self.driver_root = root / driver_root.strip("/")
        self._libraries = self.driver_root / installed.LIBRARIES
        with (self._libraries / _STATE).open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(State))
        super().__init__(State.from_buffer(self._map))

    @classmethod
    def build(
        cls, description: str | Path | Description, folder: Path, *, driver_root: str = ""
    ) -> FakeHost:
        """Build a machine in a folder, which is made.

        Args:
            description: name of one of ours, a file, or a `Description`.
            folder: becomes `/` of the machine.
            driver_root: where the driver is installed in it, such as `/run/nvidia/driver`.

        Raises:
            CompilerMissingError: there is no C compiler to build the stub with.
            ValueError: the description describes no machine.
        """
        if not isinstance(description, Description):
            description = Description.load(description)
        stub = library()
        tree = Tree(folder.absolute(), driver_root)
        libraries = tree.driver / installed.LIBRARIES
        libraries.mkdir(parents=True)
        (libraries / _STATE).write_bytes(bytes(ctypes.sizeof(State)))
        host = cls(folder.absolute(), driver_root)
        host._install(stub, description.driver)
        fill(host.state, description, str(host.root / CAPABILITIES))
        tree.write(host.state, description)
        for partition in description.partitions:
            host.partition(partition.gpu, partition.profile, partition.start, *partition.computes)
        return host

    @property
    def gpus(self) -> tuple[FakeGpu, ...]:
        """The GPUs, in NVML's order."""
        return tuple(FakeGpu(gpu) for gpu in self.state.gpus[: self.state.n_gpus])

    @property
    def mps(self) -> FakeMps:
        """The tool for MPS."""
        return FakeMps(self.driver_root / "usr/bin" / installed.MPS)

    @property
    def nodes_are_real(self) -> bool:
        """False if device nodes had to be named pipes, for lack of rights."""
        return (self.root / "dev/nvidiactl").is_char_device()

    @property
    def smi_calls(self) -> tuple[str, ...]:
        """How `nvidia-smi` was called, in order."""
        try:
            said = (self.driver_root / "usr/bin/nvidia-smi.calls").read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        return tuple(said.splitlines())

    def smi_fails(self, says: str | None) -> None:
        """Let `nvidia-smi` fail with a text from now on, or work again."""
        path = self.driver_root / "usr/bin/nvidia-smi.fails"
        if says is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(says, encoding="utf-8")

    def partition(self, gpu: int, profile: str, start: int, *computes: int) -> None:
        """Make a GPU instance with compute instances, one of all slices if none are said. Nothing is checked.

        For what is there before a test begins; what a test is about is created through NVML.
        """
        with self.held():
            state = self.state.gpus[gpu]
            number = [p.name.decode() for p in state.profiles[: state.n_profiles]].index(profile)
            wanted = state.profiles[number]
            slot = next(i for i, one in enumerate(state.instances) if not one.used)
            one = GpuInstance(1, gpu, _id(state, start, wanted.size), number, (start, wanted.size))
            state.instances[slot] = one
            at = 0
            for index, slices in enumerate(computes or (wanted.slices,)):
                free = next(i for i, c in enumerate(state.computes) if not c.used)
                uuid = f"MIG-{state.uuid.decode()[4:27]}-{one.id:04x}{index:08x}".encode()
                state.computes[free] = ComputeInstance(1, gpu, slot, index, (at, slices), uuid)
                at += slices
            self._show(state)

    def reset(self, gpu: int) -> None:
        """Reset a GPU: what waited for that takes effect, instances go, and it is there again if it was lost."""
        with self.held():
            state = self.state.gpus[gpu]
            state.mig_current, state.ecc_current = state.mig_pending, state.ecc_pending
            for slot in (*state.instances, *state.computes):
                slot.used = 0
            state.lost = state.recovery = state.remap_pending = state.retire_pending = 0
            self._show(state)

    def replace_driver(self, version: str, *, half: bool = False) -> None:
        """Install another driver. `half`: its kernel module is not loaded yet, so nothing works until it is.

        Whoever has the old library open is told that it fits no more.
        """
        self._install(library(), version)
        installed.write(self.driver_root, version)
        with self.held():
            self.state.driver = version.encode()
            if not half:
                self.state.kernel = version.encode()
                Tree(self.root, "").version(version)
            self.state.generation += 1

    def unload(self) -> None:
        """Unload the kernel module."""
        with self.held():
            self.state.kernel = b""
            self.state.generation += 1
        shutil.rmtree(self.root / "proc/driver/nvidia/gpus", ignore_errors=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold every process off while something is changed, as the stub does."""
        with (self._libraries / _STATE).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _install(self, stub: bytes, version: str) -> None:
        new = self._libraries / f"libnvidia-ml.so.{version}"
        new.unlink(missing_ok=True)  # whoever runs keeps what it has mapped
        new.write_bytes(stub)
        installed.link(self._libraries / SONAME, new.name)

    def _show(self, state: Gpu) -> None:
        """What the stub does after each change: let the kernel's files agree."""
        folder = self.root / CAPABILITIES / f"gpu{state.minor}/mig"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for slot, one in enumerate(state.instances):
            if not one.used:
                continue
            minor = 3 + 135 * state.minor + 9 * one.id
            places = {folder / f"gi{one.id}": minor}
            for c in state.computes:
                if c.used and c.instance == slot:
                    places[folder / f"gi{one.id}/ci{c.id}"] = minor + 1 + c.id
            for place, number in places.items():
                place.mkdir()
                said = f"DeviceFileMinor: {number}\nDeviceFileMode: 256\nDeviceFileModify: 1\n"
                (place / "access").write_text(said, encoding="ascii")


def _id(gpu: Gpu, start: int, size: int) -> int:
    """As real drivers number GPU instances, and `mig.c` does."""
    if size == gpu.memory_slices:
        return 0
    if size == 4:  # noqa: PLR2004 - half of eight
        return 1 if start else 2
    if gpu.memory_slices == 8:  # noqa: PLR2004 - all but the A30
        return 3 + start // 2 if size > 1 else 7 + start
    return 1 + start // 2 if size > 1 else 3 + start
