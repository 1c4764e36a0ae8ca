"""Why a device can be injected, or why not: every file that has a say in it, and who must act.

The command line's `explain` and people who write drivers call it, with the snapshot a runtime would see.
Rests on the CDI specification, "CDI JSON Definition": a later directory beats an earlier one; two
definitions of one device in one directory take it away everywhere, as in the reference library.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydra_cdi.errors import CdiError
from pydra_cdi.names import QualifiedName
from pydra_cdi.snapshot import Snapshot

Fate = Literal["wins", "shadowed", "conflict"]
_NEAR = 5


@dataclass(frozen=True, slots=True)
class Definition:
    """One place that defines the device.

    Attributes:
        path: The spec file.
        priority: The place of its directory in the registry's list; higher beats lower.
        position: The device's index in the file's `devices`.
        fate: Whether this definition is the one that counts, and if not, why not.
        others: The file that shadows it, or those it is in conflict with (or that are in conflict with each
            other about it); empty for the winner.
    """

    path: Path
    priority: int
    position: int
    fate: Fate
    others: tuple[Path, ...] = ()

    def __str__(self) -> str:
        where = f"{self.path} defines it at devices[{self.position}]"
        others = " and ".join(map(str, self.others))
        match self.fate:
            case "wins":
                return f"{where}, and that counts"
            case "shadowed":
                return (
                    f"{where}, but {others} of a later directory beats it; if this definition is wanted, "
                    f"whoever wrote {others} must remove it"
                )
            case _:
                return (
                    f"{where}, but does not count because of {others}: one directory may define a device "
                    "only once; whoever wrote one of the files must rename the device or remove the file"
                )


@dataclass(frozen=True, slots=True)
class UnusedFile:
    """A spec file or directory that could not be used, and so may have defined the device."""

    path: Path
    errors: tuple[CdiError, ...]

    def __str__(self) -> str:
        return f"may be defined in a file that is not used: {'; '.join(map(str, self.errors))}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a snapshot says about one device ID.

    Attributes:
        device_id: `vendor/class=name`.
        directories: The spec directories, lowest priority first.
        definitions: Every definition in the order the files were read.
        winner: The one of `definitions` that counts; None when the device cannot be injected.
        unused: Files and directories with errors, which may have defined it.
        near: Device IDs that are spelled alike; only when nothing defines this one.
    """

    device_id: str
    directories: tuple[Path, ...]
    definitions: tuple[Definition, ...]
    winner: Definition | None
    unused: tuple[UnusedFile, ...]
    near: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The explanation for people: the verdict first, then each file, then what to try."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        if self.winner is not None:
            yield f"{self.device_id} comes from {self.winner.path}"
        elif self.definitions:
            yield f"{self.device_id} cannot be injected: its definitions contradict each other"
        else:
            places = ", ".join(map(str, self.directories)) or "no directory"
            yield (
                f"{self.device_id} cannot be injected: no valid file in {places} defines it; "
                "the driver of that vendor must write its spec file there"
            )
        yield from map(str, self.definitions)
        if not self.definitions:
            yield from (f"{self.device_id} {unused}" for unused in self.unused)
        if self.near:
            yield f"spelled alike are {', '.join(self.near)}: whoever asks for the device may mean one of them"


def explain(snapshot: Snapshot, device_id: str) -> Explanation:
    """Tell what decides about a device.

    Args:
        snapshot: What `Registry.refresh` found.
        device_id: `vendor/class=name`.

    Raises:
        SpecError: It is no device ID.
    """
    name = QualifiedName.parse(device_id)
    definitions = tuple(_definitions(snapshot, name))
    winner = next((found for found in definitions if found.fate == "wins"), None)
    return Explanation(
        device_id=device_id,
        directories=snapshot.directories,
        definitions=definitions,
        winner=winner,
        unused=tuple(_unused(snapshot)),
        near=() if definitions else _near(snapshot, name),
    )


def _definitions(snapshot: Snapshot, name: QualifiedName) -> Iterator[Definition]:
    conflict = snapshot.conflicts.get(str(name), ())
    found = snapshot.find(str(name))
    for loaded in snapshot.specs:
        if loaded.spec.kind != name.kind:
            continue
        for position, device in enumerate(loaded.spec.devices):
            if device.name != name.name:
                continue
            if found is None:
                others = tuple(path for path in conflict if path != loaded.path)
                yield Definition(loaded.path, loaded.priority, position, "conflict", others)
            elif found.origin is loaded:
                yield Definition(loaded.path, loaded.priority, position, "wins")
            else:
                by = (found.origin.path,)
                yield Definition(loaded.path, loaded.priority, position, "shadowed", by)


def _unused(snapshot: Snapshot) -> Iterator[UnusedFile]:
    used = {loaded.path for loaded in snapshot.specs}
    for path, errors in snapshot.errors.items():
        if path not in used:
            yield UnusedFile(path, errors)
    for directory, error in snapshot.unread.items():
        yield UnusedFile(directory, (error,))


def _near(snapshot: Snapshot, name: QualifiedName) -> tuple[str, ...]:
    """Compare names within the kind; with a kind that nobody has, whole device IDs."""
    known = sorted({*snapshot.devices, *snapshot.conflicts})
    kind = f"{name.kind}="
    of_kind = [one.removeprefix(kind) for one in known if one.startswith(kind)]
    if of_kind:
        near = difflib.get_close_matches(name.name, of_kind, n=_NEAR)
        return tuple(kind + one for one in near)
    return tuple(difflib.get_close_matches(str(name), known, n=_NEAR))
