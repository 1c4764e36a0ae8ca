"""Whether the files of an image are those it says it has: RECORD by RECORD, and nothing beside them.

It needs the root file system only, for an admin who exported an image. That its statement is ours is the
attestation's to say, or a build of the same layer from the same wheels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from images.installing import found_site_packages
from images.programs import ENTRY, programs
from images.stripping import digest, dist_infos, read_list, recorded
from images.targets import FOLDER, LIBRARY


def findings(roots: Sequence[Path]) -> list[str]:
    """Return what is not as recorded, a line each; `roots` are one root, or those of an image's layers."""
    return [each for root in roots for each in (*_findings(root), *_library(root))]


def _findings(root: Path) -> Iterator[str]:
    environment = root / FOLDER
    site = found_site_packages(root)
    infos = dist_infos(site)
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


def _library(root: Path) -> Iterator[str]:
    """Compare the bytecode of Python's library: it is never compared with its source, so it must be what was built."""
    told = read_list(root / LIBRARY) if (root / LIBRARY).is_file() else {}
    for name, hashed in told.items():
        yield from _compare(root / name, hashed, f"{name}, of Python's library")
    folders = {(root / name).parent for name in told}
    here = {str(path.relative_to(root)) for folder in folders for path in folder.glob("*.pyc")}
    yield from (f"{name}: is not of the image" for name in sorted(here - set(told)))


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
        environment / PurePosixPath(LIBRARY).relative_to(FOLDER),
        *environment.glob("share/sbom/*.cdx.json"),
    }
    if (folder / ENTRY).is_symlink() and "/" not in str((folder / ENTRY).readlink()):
        made.add(folder / ENTRY)
    return made
