"""What a lock holds: the workspace's resolution, cut to what an image's platforms can take.

`gen_locks.py` calls it. The pins are those of `uv.lock`, so an image carries what the tests ran with, and
`exclude-newer` decides them for everybody.
"""

import itertools
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.tags import Tag, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from images.locks import Pin
from images.targets import ARCHES, GLIBC, PYTHONS, ImageError

_OLDEST_GLIBC = 5  # of manylinux1, the first of its kind


def uv() -> str:
    """Return the uv to run: that of `uv run`, of the path, or of `.ci/run`."""
    own = Path(__file__).parents[2] / ".uv/bin/uv"
    return os.environ.get("UV") or shutil.which("uv") or str(own)


def image_packages(root: Path) -> list[str]:
    """Return the packages that have an image: pydra-core, and each that brings a driver."""
    projects = [
        tomllib.loads(path.read_text("utf-8"))["project"]
        for path in root.glob("packages/*/pyproject.toml")
    ]
    return sorted(
        p["name"]
        for p in projects
        if p["name"] == "pydra-core" or "pydra.drivers" in p.get("entry-points", {})
    )


def resolved(root: Path, package: str) -> list[Requirement]:
    """Return the third parties that `package` needs, in the workspace's versions.

    Raises:
        ImageError: uv finds no resolution.
    """
    command = [uv(), "export", "--quiet", "--package", package, "--no-dev", "--no-emit-workspace"]
    command += ["--no-hashes", "--no-annotate", "--no-header"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        raise ImageError(f"{package}: uv export ended with {done.returncode}:\n{done.stderr}")
    return [Requirement(line) for line in done.stdout.splitlines() if line]


def pins(root: Path, package: str) -> Iterator[Pin]:
    """Yield the pins of a package's lock, sorted.

    Raises:
        ImageError: there is no resolution, or a third party has no wheel for one of the platforms.
    """
    wheels = _wheels(root / "uv.lock")
    for entry in sorted(resolved(root, package), key=str):
        marker = _cut(entry.marker)
        if marker is None:
            continue
        name, version = canonicalize_name(entry.name), str(entry.specifier).removeprefix("==")
        hashes = {digest for file, digest in wheels[name, version] if _fits(file)}
        _refuse_gaps(name, version, [file for file, _ in wheels[name, version]], entry.marker)
        yield Pin(name, version, marker, tuple(sorted(hashes)))


def _wheels(lock: Path) -> dict[tuple[str, str], list[tuple[str, str]]]:
    packages = tomllib.loads(lock.read_text("utf-8"))["package"]
    return {
        (each["name"], each["version"]): [
            (unquote(wheel["url"].rsplit("/", 1)[-1]), wheel["hash"].removeprefix("sha256:"))
            for wheel in each.get("wheels", ())
        ]
        for each in packages
        if "version" in each
    }


def _environments() -> Iterator[tuple[str, str, dict[str, str]]]:
    for python, machine in itertools.product(PYTHONS, ARCHES.values()):
        fixed = {
            "sys_platform": "linux",
            "platform_system": "Linux",
            "os_name": "posix",
            "extra": "",
        }
        version = {"python_version": python, "python_full_version": f"{python}.0"}
        yield python, machine, fixed | version | {"platform_machine": machine}


def _cut(marker: Marker | None) -> str | None:
    """Return a marker as text, "" when it holds everywhere here, None when it holds nowhere."""
    holds = {marker is None or marker.evaluate(environ) for *_, environ in _environments()}
    if holds == {False}:
        return None
    return "" if holds == {True} else str(marker).replace('"', "'")


def _tags(python: str, machine: str) -> frozenset[Tag]:
    minors = range(_OLDEST_GLIBC, GLIBC[1] + 1)
    platforms = [f"manylinux_{GLIBC[0]}_{minor}_{machine}" for minor in minors]
    platforms += [f"{old}_{machine}" for old in ("manylinux1", "manylinux2010", "manylinux2014")]
    major, minor = map(int, python.split("."))
    specific = cpython_tags((major, minor), platforms=[*platforms, f"linux_{machine}"])
    pure = (Tag(py, "none", "any") for py in ("py3", f"py{major}{minor}", f"cp{major}{minor}"))
    return frozenset(itertools.chain(specific, pure))


_TAGS = {(python, machine): _tags(python, machine) for python, machine, _ in _environments()}


def _fits(file: str) -> bool:
    tags = parse_wheel_filename(file)[3]
    return any(tags & accepted for accepted in _TAGS.values())


def _refuse_gaps(name: str, version: str, files: list[str], marker: Marker | None) -> None:
    tags = frozenset(itertools.chain.from_iterable(parse_wheel_filename(file)[3] for file in files))
    for python, machine, environ in _environments():
        needed = marker is None or marker.evaluate(environ)
        if needed and not tags & _TAGS[python, machine]:
            raise ImageError(
                f"{name} {version}: has no wheel for Python {python} on {machine}; images compile nothing"
            )


def lock_text(package: str, found: list[Pin]) -> str:
    """Return the text of a lock."""
    about = (
        f"# Third parties of the image {package}: versions, and the SHA-256 of every wheel that Linux on amd64 and\n"
        f"# arm64 can take with Python {PYTHONS[0]} to {PYTHONS[-1]} (images have one of these).\n"
        "# Written by tools/gen_locks.py from the workspace's resolution.\n"
    )
    return about + "".join(map(str, found))


def own_names(root: Path, text: str) -> list[str]:
    """Return which of our own names a lock pins; the public index gives those to strangers."""
    ours = {path.parent.name for path in root.glob("packages/*/pyproject.toml")}
    return sorted(ours & set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)))
