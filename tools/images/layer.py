"""Making what one image adds to the one below it; the Dockerfile and the tests call it.

The layer of pydra-core holds the virtual environment and everything in it; that of a vendor's package only what its
lock and wheels add. Equal input gives equal bytes, modes and times, so a layer can be checked by building it again.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from images.bytecode import compile_site, compile_standard_library
from images.installing import (
    check_ranges,
    install_own,
    install_third_parties,
    make_environment,
    site_packages,
)
from images.locks import OwnWheel, Pin, closure, normal, read_lock, read_sums
from images.programs import write_programs
from images.sbom import sbom, sbom_path
from images.stripping import dist_infos, strip, write_list, write_records
from images.targets import FOLDER, LIBRARY, ImageError

_TIME = 315_532_800  # 1980, the first that every archive format can write


@dataclass(frozen=True, slots=True)
class Order:
    """What to build.

    Attributes:
        package: Distribution whose image it is.
        wheels: Folder with our wheels and SHA256SUMS.
        lock: Third parties of the package.
        out: New root folder for the layer.
        platform: As `linux/arm64`.
        core: Root with pydra-core's layer; None to build that one.
    """

    package: str
    wheels: Path
    lock: Path
    out: Path
    platform: str
    core: Path | None = None


def build(order: Order) -> str:
    """Build a layer and return the digest of its tree, as `digest_of`.

    Raises:
        ImageError: input is missing, not as locked, or does not fit what is below; nothing is left in `out`.
    """
    if order.out.exists() and any(order.out.iterdir()):
        raise ImageError(f"{order.out}: is not empty; give a new folder")
    try:
        return _build(order)
    except (ImageError, OSError):
        shutil.rmtree(order.out, ignore_errors=True)
        raise


def _build(order: Order) -> str:
    locked = read_lock(order.lock)
    below = site_packages(order.core / FOLDER) if order.core else None
    there = _versions(below) if below else {}
    own, others = _own(order, there), _others(order, locked, there)
    environment = order.out / FOLDER
    site = site_packages(environment)
    if below:
        site.mkdir(parents=True)
    else:
        make_environment(environment)
    install_third_parties(others, site, order.platform, order.lock)
    install_own(own, site, order.platform)
    strip(site)
    sites = [each for each in (below, site) if each]
    check_ranges(sites, order.platform, order.package)
    _refuse_overlap(order, site, below)
    names = frozenset(each.name.replace("-", "_") for each in own)
    write_programs(environment, site, names, order.package if below else "")
    compile_site(order.out, site)
    write_records(site)
    if not below:
        write_list(order.out / LIBRARY, order.out, compile_standard_library(order.out))
    bill = sbom(order.package, sites, frozenset(each.name for each in locked))
    _write(sbom_path(environment, order.package), bill)
    return _settle(order.out)


def _others(order: Order, locked: Sequence[Pin], there: dict[str, str]) -> list[Pin]:
    """Return the third parties to add. One below in another version than locked would be shipped unseen."""
    for each in locked:
        if there.get(each.name, each.version) != each.version:
            raise ImageError(
                f"{order.package}: needs {each.name} {each.version}, the image below has {there[each.name]}; build or"
                " release pydra-core with the same locks first"
            )
    return [each for each in locked if each.name not in there]


def _own(order: Order, there: dict[str, str]) -> list[OwnWheel]:
    """Return those of ours to add; what is below is as its digest says, and `check_ranges` decides whether it fits."""
    found = closure(order.package, read_sums(order.wheels))
    return [each for each in found if each.name not in there]


def _versions(site: Path) -> dict[str, str]:
    names = (info.name.removesuffix(".dist-info").split("-") for info in dist_infos(site))
    return {normal(name): version for name, version in names}


def _refuse_overlap(order: Order, site: Path, below: Path | None) -> None:
    files = (path.relative_to(site) for path in site.rglob("*") if path.is_file())
    for path in sorted(files) if below else ():
        if below and (below / path).exists():
            raise ImageError(
                f"{order.package}: brings {path}, which is in the image below; one of the two must leave it out"
            )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _settle(root: Path) -> str:
    """Give every file one of two modes and one time, whatever the build's; returns the tree's digest."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o111 else 0o644)
        os.utime(path, (_TIME, _TIME), follow_symlinks=False)
    return digest_of(root)


def digest_of(root: Path) -> str:
    """Return one SHA-256 for everything in a tree: paths, modes, contents, targets of links; not times."""
    lines = (f"{path.relative_to(root)} {_what(path)}\n" for path in sorted(root.rglob("*")))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _what(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    mode = f"{path.stat().st_mode & 0o7777:o}"
    return mode if path.is_dir() else f"{mode} {hashlib.sha256(path.read_bytes()).hexdigest()}"
