"""Where the keeper has what: below one folder of the host that driver, keeper and tenants see at the same path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydra_core.errors import ClaimError, HostError

LONGEST = 36
"""Bytes of a path of that folder, so that the sockets below it fit into an address."""
_PASSED, _SHARED, _OWN = 0o711, 0o1777, 0o700
_UUID = re.compile(r"(GPU|MIG)-[0-9A-Za-z-]{1,80}")


@dataclass(frozen=True, slots=True)
class GpuFolder:
    """What the keeper has of one GPU.

    Attributes:
        path: All of it. Others may pass through, to what is theirs, and not look around.
        uuid: The GPU's.
    """

    path: Path
    uuid: str

    @property
    def pipe(self) -> Path:
        """Where the daemon has its sockets: what tenants get as `CUDA_MPS_PIPE_DIRECTORY`."""
        return self.path / "pipe"

    @property
    def log(self) -> Path:
        """What the daemon and its servers write down."""
        return self.path / "log"

    @property
    def shm(self) -> Path:
        """The daemon's `/dev/shm`, and its tenants'."""
        return self.path / "shm"

    @property
    def roster(self) -> Path:
        """Who is on the GPU."""
        return self.path / "roster.json"

    @property
    def process(self) -> Path:
        """Which process the daemon is."""
        return self.path / "daemon.json"

    @property
    def capabilities(self) -> Path:
        """What probing found."""
        return self.path / "capabilities.json"

    @property
    def probe(self) -> GpuFolder:
        """Where probing starts daemons of its own: beside the tenants' one, and out of their sight."""
        return GpuFolder(self.path / "probe", self.uuid)

    def make(self) -> None:
        """Make what a daemon needs.

        Raises:
            HostError: it cannot be made.
        """
        modes = {self.path: _PASSED, self.pipe: _SHARED, self.log: _OWN, self.shm: _SHARED}
        try:
            for path, mode in modes.items():
                path.mkdir(exist_ok=True, parents=True)
                path.chmod(mode)  # whatever the umask is
        except OSError as err:
            raise HostError(
                f"MPS keeper: {err.filename} cannot be made: {err.strerror}; NVIDIA_MPS_DIR must be a folder it may"
                " write to"
            ) from err


def gpu_folder(folder: Path, uuid: str) -> GpuFolder:
    """The folder of one GPU.

    Raises:
        ClaimError: that is no UUID; it would be taken for a path.
    """
    if not _UUID.fullmatch(uuid):
        raise ClaimError(f"GPU {uuid!r}: is no UUID of a GPU, such as GPU-0a1b2c3d-…")
    return GpuFolder(folder / uuid, uuid)


def gpu_folders(folder: Path) -> list[GpuFolder]:
    """Those of all GPUs the keeper ever had to do with, by UUID."""
    return [
        GpuFolder(p, p.name)
        for p in sorted(folder.iterdir())
        if _UUID.fullmatch(p.name) and p.is_dir()
    ]
