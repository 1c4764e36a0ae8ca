"""Reading what must be installed: locks of third parties, and the checksums of our own wheels."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from images.targets import ImageError

_PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+?))? \\")
_HASH = re.compile(r"    --hash=sha256:([0-9a-f]{64})( \\)?")
_SUM = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9_]+)-([^-/]+)-py3-none-any\.whl")


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a third party; `marker` says on which Pythons it is needed, "" on all."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def __str__(self) -> str:
        marker = f" ; {self.marker}" if self.marker else ""
        lines = (
            f"{self.name}=={self.version}{marker}",
            *(f"--hash=sha256:{h}" for h in self.hashes),
        )
        return " \\\n    ".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class OwnWheel:
    """A wheel of ours and the SHA-256 that SHA256SUMS gives it."""

    name: str
    version: str
    path: Path
    hash: str


def normal(name: str) -> str:
    """Return a distribution's name as locks spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: Path) -> tuple[Pin, ...]:
    """Return the pins of a lock.

    Raises:
        ImageError: it is not there, or a line is not as `gen_locks.py` writes it.
    """
    if not path.is_file():
        raise ImageError(f"lock {path}: there is none; run tools/gen_locks.py")
    return tuple(_pins(path))


def _pins(path: Path) -> Iterator[Pin]:
    found: re.Match[str] | None = None
    hashes: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if (digest := _HASH.fullmatch(line)) and found:
            hashes.append(digest[1])
            if not digest[2]:
                yield Pin(found["name"], found["version"], found["marker"] or "", tuple(hashes))
                found, hashes = None, []
        elif (pin := _PIN.fullmatch(line)) and not found:
            found = pin
        elif found or not line.startswith("#"):
            raise ImageError(
                f"lock {path}, line {number}: neither a pin nor a hash: {line!r}; run tools/gen_locks.py"
            )
    if found:
        raise ImageError(f"lock {path}: {found['name']} has no last hash; run tools/gen_locks.py")


def read_sums(wheels: Path) -> dict[str, OwnWheel]:
    """Return our wheels by name, as `SHA256SUMS` beside them lists them.

    Raises:
        ImageError: the list is not there, has another kind of line, or two versions of one of ours.
    """
    path = wheels / "SHA256SUMS"
    if not path.is_file():
        raise ImageError(f"{path}: there is none; `make wheels` writes the wheels and it")
    found: dict[str, OwnWheel] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = _SUM.fullmatch(line)
        if not match:
            raise ImageError(
                f"{path}: {line!r} is not the checksum of a pure wheel; write it by `make wheels`"
            )
        name = normal(match[2])
        if name in found:
            raise ImageError(
                f"{path}: two wheels of {name}; empty the folder and run `make wheels`"
            )
        found[name] = OwnWheel(name, match[3], wheels / line[66:], match[1])
    return found


def closure(package: str, wheels: Mapping[str, OwnWheel]) -> tuple[OwnWheel, ...]:
    """Return the wheel of `package` and those of ours that it needs, by name.

    Raises:
        ImageError: one of them is not among `wheels`.
    """
    wanted, found = [package], dict[str, OwnWheel]()
    while wanted:
        name = wanted.pop()
        if name not in wheels:
            raise ImageError(f"wheel of {name}: SHA256SUMS has none; build it by `make wheels`")
        if name not in found:
            found[name] = wheels[name]
            needs = _metadata(wheels[name]).get_all("Requires-Dist", [])
            wanted += [each for each in map(required, needs) if each in wheels]
    return tuple(found[name] for name in sorted(found))


def required(requirement: str) -> str:
    """Return the name in a `Requires-Dist`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return normal(match[0]) if match else ""


def _metadata(wheel: OwnWheel) -> Message:
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            return HeaderParser().parsestr(archive.read(name).decode())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ImageError(
            f"wheel {wheel.path}: cannot be read ({error}); build it by `make wheels`"
        ) from error
