"""A journal's bytes back to the state they lead to, with whatever cannot be read; `log_file` and `doctor` ask.

Never raises for damage: every record that can be read counts, and the bytes between are told of.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from pydra_core._state import frames, records
from pydra_core._state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Reading:
    """What a journal says.

    Attributes:
        version: Its format, None if the header cannot be read.
        ledger: The state after the records that can be read.
        damages: The bytes that cannot.
    """

    version: int | None
    ledger: Ledger
    damages: tuple[frames.Damage, ...]

    @property
    def is_newer(self) -> bool:
        """Whether a newer version of this framework wrote it; nothing of it was read then."""
        return self.version is not None and self.version > records.FORMAT

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost; what an interrupted write leaves behind was never answered."""
        return all(damage.torn for damage in self.damages)


def read(data: bytes) -> Reading:
    """Replay a journal of any format up to ours."""
    version, ledger = frames.version_of(data), Ledger()
    if version is not None and version > records.FORMAT:
        return Reading(version, ledger, ())
    damages = [*_header(data, version), *replay(data, frames.HEADER_SIZE, ledger)]
    return Reading(version, ledger, tuple(damages))


def replay(data: bytes, start: int, ledger: Ledger) -> list[frames.Damage]:
    """Apply the records from `start` on; returns what cannot be read."""
    damages = []
    for item in frames.read(data, start):
        if isinstance(item, frames.Damage):
            damages.append(item)
            continue
        try:
            ledger.apply(records.decode(item.payload))
        except (msgspec.DecodeError, RecursionError) as err:
            damages.append(frames.Damage(item.end - len(item.payload), item.end, str(err)))
    return damages


def _header(data: bytes, version: int | None) -> list[frames.Damage]:
    begun = any(frames.header(v).startswith(data) for v in range(1, records.FORMAT + 1))
    if version or begun:
        return []
    return [frames.Damage(0, frames.HEADER_SIZE, "no journal header")]
