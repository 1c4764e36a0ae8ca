"""Whether the files of an image are those it says it has: RECORD by RECORD, and nothing beside them.

It needs the root file system only, for an admin who exported an image. That its statement is ours is the
attestation's to say, or a build of the same layer from the same wheels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from images.installing import site_packages
from images.programs import ENTRY, programs
from images.stripping import digest, dist_infos, recorded
from images.targets import FOLDER


def findings(roots: Sequence[Path]) -> list[str]:
    """Return what is not as recorded, a line each; `roots` are one root, or those of an image's layers."""
    return [each for root in roots for each in _findings(root)]


def _findings(root: Path) -> Iterator[str]:
    environment = root / FOLDER
    site = site_packages(environment)
    infos = dist_infos(site)
    if not infos:
        yield f"{site}: holds no distribution; give the root of an image, made with this version of Python"
    known: set[Path] = set()
    for info in infos:
        for name, told in recorded(info).items():
            path = site / name
            known.add(path)
            yield from _compare(path, told, f"{name}, of {info.name}")
    own = frozenset(info.name.split("-")[0] for info in infos)
    for name, text in programs(site, own).items():
        path = environment / "bin" / name
        if path.is_file() and path.read_text("utf-8") == text:
            known.add(path)
    known |= _made(environment)
    for path in sorted(environment.rglob("*")):
        if path not in known and (path.is_symlink() or not path.is_dir()):
            yield f"{path.relative_to(root)}: is of no distribution, or not as it was written"


def _compare(path: Path, told: str, what: str) -> Iterator[str]:
    if not path.is_file():
        yield f"{what}: is missing"
    elif told and digest(path) != told:
        yield f"{what}: is not what RECORD says"


def _made(environment: Path) -> set[Path]:
    """Return the few files that say themselves what they are."""
    folder = environment / "bin"
    made = {
        environment / "pyvenv.cfg",
        folder / "python",
        *environment.glob("share/sbom/*.cdx.json"),
    }
    if (folder / ENTRY).is_symlink() and "/" not in str((folder / ENTRY).readlink()):
        made.add(folder / ENTRY)
    return made
