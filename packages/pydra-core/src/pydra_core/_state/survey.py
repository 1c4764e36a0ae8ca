"""Journals of a node, read by those who must not change them: no lock, no repair, also while a driver writes.

`top`, `unstick --dry-run` and `gather` look at a node this way. A driver may put another file in the journal's place
at any moment; what was opened stays readable, and a record that is just being written counts as torn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydra_core._state import frames, records
from pydra_core._state.ledger import Ledger
from pydra_core._state.reading import read


@dataclass(frozen=True, slots=True)
class Survey:
    """What one driver's journal says; `problem` is what of it cannot be read, and what to do."""

    driver: str
    path: Path
    ledger: Ledger
    problem: str = ""

    @property
    def held(self) -> tuple[records.Prepared | records.Intent, ...]:
        """Everything a claim holds, prepared or in progress."""
        return (*self.ledger.all_prepared(), *self.ledger.all_intents())

    @property
    def claims(self) -> tuple[records.Prepared | records.Intent, ...]:
        """What of it the API knows: not what pods have of extended resources."""
        return tuple(record for record in self.held if not record.resource)


def survey(kubelet_root: Path) -> Iterator[Survey]:
    """Every journal below a kubelet root, by driver name.

    Raises:
        OSError: the directory of the drivers cannot be listed.
    """
    plugins = kubelet_root / "plugins"
    if not plugins.exists():
        return
    for directory in sorted(plugins.iterdir()):
        if (found := look_at(directory / "journal")) is not None:
            yield found


def look_at(path: Path) -> Survey | None:
    """One journal; None if there is none."""
    driver = path.parent.name
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as err:
        why = f"{path}: cannot be read: {err.strerror}; run this as root"
        return Survey(driver, path, Ledger(), why)
    reading = read(data)
    problem = ""
    if reading.is_newer:
        problem = (
            f"{path}: format {reading.version}, written by a newer driver; this one reads {records.FORMAT}: use"
            " that version's `pydra`"
        )
    elif lost := [d for d in reading.damages if not d.torn]:
        problem = _damaged(path, lost)
    return Survey(driver, path, reading.ledger, problem)


def _damaged(path: Path, lost: list[frames.Damage]) -> str:
    first = lost[0]
    return (
        f"{path}: {len(lost)} damaged {'place' if len(lost) == 1 else 'places'}, the first at byte {first.start}:"
        f" {first.why}; what can be read is shown. Restart the driver (delete its pod): it keeps that and sets the"
        " file aside"
    )
