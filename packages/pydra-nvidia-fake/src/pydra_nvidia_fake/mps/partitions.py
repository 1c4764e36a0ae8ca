"""Static partitions: chunks of SMs of one GPU, the remainder going to whoever takes the last chunk."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from pydra_nvidia_fake.mps.machine import Gpu

_HOPPER = 9
_NEW, _OLD, _OLD_V3 = 8, 4, 2
_ID_BYTES, _STEP, _ROUND = 27, 4, 60


@dataclass(slots=True)
class Partition:
    """A partition. `name` in the third protocol only."""

    id: str
    chunks: int
    sms: int
    name: str = ""
    remainder: bool = False


@dataclass(slots=True)
class Table:
    """The partitions of one GPU."""

    gpu: Gpu
    v3: bool = False
    partitions: list[Partition] = field(default_factory=list)
    made: int = 0

    @property
    def size(self) -> int:
        """SMs of a chunk."""
        if self.gpu.major >= _HOPPER:
            return _NEW
        return _OLD_V3 if self.v3 else _OLD

    @property
    def chunks(self) -> int:
        """All there are."""
        return self.gpu.sm // self.size

    @property
    def free(self) -> int:
        """Chunks in no partition."""
        return self.chunks - sum(one.chunks for one in self.partitions)

    @property
    def used_sms(self) -> int:
        """SMs in partitions."""
        return sum(one.sms for one in self.partitions)

    @property
    def remainder(self) -> int:
        """SMs that make no chunk, and are in no partition."""
        left = self.gpu.sm - self.chunks * self.size
        return 0 if any(one.remainder for one in self.partitions) else left

    def add(
        self, chunks: int, name: str = "", *, remainder: bool | None = None
    ) -> Partition | None:
        """Make a partition; None without room. The last chunk brings the remainder, if it is not said otherwise."""
        if not 0 < chunks <= self.free:
            return None
        takes = (chunks == self.free) if remainder is None else remainder
        sms = chunks * self.size + (self.remainder if takes else 0)
        one = Partition(self._id(), chunks, sms, name, takes and bool(self.remainder))
        self.partitions.append(one)
        return one

    def find(self, word: str) -> Partition | None:
        """By ID or name."""
        return next((one for one in self.partitions if word in (one.id, one.name) and word), None)

    def _id(self) -> str:
        number = self.made
        self.made += 1
        first = 0x0F if not self.v3 else 0x2A
        begin = (
            (first + _STEP * number) % 0xFC,
            (0x1E if not self.v3 else 0x9F) + number // _ROUND,
        )
        return base64.b64encode(bytes(begin) + bytes(_ID_BYTES - 2)).decode()
