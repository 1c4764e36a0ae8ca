"""What a driver does not need of a distribution, and its RECORD, which afterwards says what is left.

Rules, not lists: a new version, or a vendor's library, is treated alike. Kept on purpose are sources (a traceback
without its line helps nobody), licences, and data such as grpc's root certificates: 0.3 MB that a vendor's library
with TLS would miss in a way that is hard to find.
"""

import base64
import csv
import hashlib
import io
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from images.targets import ImageError

_SUFFIXES = frozenset(
    (
        ".pyi",
        ".pyx",
        ".pxd",
        ".pxi",
        ".c",
        ".cc",
        ".cpp",
        ".h",
        ".hpp",
        ".hash",
        ".proto",
        ".a",
        ".pyc",
    )
)
"""For type checkers and compilers; bytecode is written anew."""

_FOLDERS = frozenset(("tests", "test", "__pycache__"))
_TRACES = frozenset(("INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"))
"""What an installer leaves in a dist-info about how and where it ran."""

_NOT_MODULES = frozenset(("bin", "share", "include", "etc", ".lock"))
"""What uv puts beside modules: programs, manuals, headers."""


def strip(site: Path) -> None:
    """Remove what a driver does not need; `write_records` then says what is left."""
    for name in _NOT_MODULES:
        _remove(site / name)
    for path in [*site.rglob("*")]:
        if path.exists() and _needless(path.relative_to(site)):
            _remove(path)
    for folder in sorted((p for p in site.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _needless(path: Path) -> bool:
    if path.parts[0].endswith(".dist-info"):
        return path.name in _TRACES
    return path.name in _FOLDERS or path.suffix in _SUFFIXES or path.name == "py.typed"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def dist_infos(site: Path) -> list[Path]:
    """Return the metadata folders of what is installed, sorted."""
    return sorted(site.glob("*.dist-info"))


def recorded(info: Path) -> dict[str, str]:
    """Return the files of a distribution, below site-packages, with what RECORD says of each: hash or ""."""
    return read_list(info / "RECORD")


def read_list(path: Path) -> dict[str, str]:
    """Return the files of a RECORD with the hash it gives each, or ""."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row[0]: row[1] for row in csv.reader(file) if row}


def write_records(site: Path) -> None:
    """Write each RECORD anew: what is there of its distribution, bytecode included, with hashes.

    Raises:
        ImageError: a file belongs to no distribution.
    """
    found: set[str] = set()
    for info in dist_infos(site):
        files = {name for path in recorded(info) for name in _present(site, path)}
        found |= files
        _write(info, sorted(files))
    here = {str(p.relative_to(site)) for p in site.rglob("*") if not p.is_dir()}
    if strangers := sorted(here - found):
        raise ImageError(
            f"{strangers[0]}: is in no distribution's RECORD; its wheel is not as it should be"
        )


def _present(site: Path, path: str) -> Iterator[str]:
    file = site / path
    if file.is_file() and ".." not in path:
        yield path
        if file.suffix == ".py":
            cached = (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc")
            yield from (str(each.relative_to(site)) for each in cached)


def _write(info: Path, files: list[str]) -> None:
    write_list(info / "RECORD", info.parent, [info.parent / name for name in files])


def write_list(path: Path, base: Path, files: Iterable[Path]) -> None:
    """Write a RECORD: each file below `base` with hash and size, the list itself without."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for file in files:
        name = str(file.relative_to(base))
        writer.writerow(
            (name, "", "") if file == path else (name, digest(file), file.stat().st_size)
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8")


def digest(path: Path) -> str:
    """Return a file's hash as RECORDs write it."""
    raw = hashlib.sha256(path.read_bytes()).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
