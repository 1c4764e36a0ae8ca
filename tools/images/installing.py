"""Putting distributions into a folder: third parties by their lock, ours by SHA256SUMS, nothing without a hash."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from images.locks import OwnWheel, Pin
from images.targets import FOLDER, ImageError, uv_platform


def install_third_parties(pins: Iterable[Pin], site: Path, platform: str, lock: Path) -> None:
    """Install third parties from the index of whoever builds; the lock's hashes say what may come.

    Raises:
        ImageError: one is not to be had, or is not what the lock says.
    """
    text = "".join(map(str, pins))
    if text:
        told = "an index gave something else than was locked, or the lock was edited; tools/gen_locks.py writes it"
        _install(text, site, platform, (), f"third parties of {lock}: {told}")


def install_own(wheels: Sequence[OwnWheel], site: Path, platform: str) -> None:
    """Install our wheels from their files: no index, no folder and no configuration has a say.

    Raises:
        ImageError: a wheel is not the one in SHA256SUMS.
    """
    lines = [
        f"{each.name} @ {each.path.resolve().as_uri()} --hash=sha256:{each.hash}\n"
        for each in wheels
    ]
    if lines:
        told = f"wheels of {wheels[0].path.parent}: not those of SHA256SUMS, or not there; `make wheels` writes both"
        _install("".join(lines), site, platform, ("--no-config", "--no-index"), told)


def _install(text: str, site: Path, platform: str, more: Sequence[str], told: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pydra-image-") as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text(text, encoding="utf-8")
        where = ("--target", str(site), "--python", sys.executable, "--link-mode", "copy")
        what = (
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--requirements",
            str(wanted),
        )
        run_uv(["pip", "install", "--quiet", *more, *where, *_for(platform), *what], told)


def check_ranges(sites: Sequence[Path], platform: str, package: str) -> None:
    """Check that what is in `sites` together fits: every requirement there, in its range, for this platform.

    Raises:
        ImageError: something is missing or of the wrong version.
    """
    with tempfile.TemporaryDirectory(prefix="pydra-image-") as folder:
        root = Path(folder)
        make_environment(root)
        for info in (each for site in sites for each in site.glob("*.dist-info")):
            shutil.copytree(info, site_packages(root) / info.name)  # uv passes over links
        where = ("--python", str(root / "bin" / "python"))
        run_uv(
            ["pip", "check", "--no-config", *where, *_for(platform)],
            f"{package}: lock and wheels do not fit",
        )


def _for(platform: str) -> tuple[str, ...]:
    version = ".".join(map(str, sys.version_info[:3]))
    return ("--python-platform", uv_platform(platform), "--python-version", version)


def run_uv(arguments: Sequence[str], told: str) -> None:
    """Run uv, whose own words follow `told` when it fails.

    Raises:
        ImageError: uv is not there, or ended with a finding.
    """
    uv = os.environ.get("UV") or shutil.which("uv") or str(Path(__file__).parents[2] / ".uv/bin/uv")
    try:
        done = subprocess.run(
            [uv, *arguments], capture_output=True, text=True, check=False, timeout=600
        )
    except OSError as error:
        raise ImageError(f"uv ({uv}): {error.strerror}; install it, or name it in UV") from error
    if done.returncode:
        raise ImageError(f"{told}\n{done.stderr.strip()}")


def site_packages(environment: Path) -> Path:
    """Return the folder of modules in a virtual environment of this Python."""
    return (
        environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    )


def found_site_packages(root: Path) -> Path:
    """Return the folder of modules in an image of whatever Python.

    Raises:
        ImageError: there is none, or several.
    """
    found = list(root.glob(f"{FOLDER}/lib/python3.*/site-packages"))
    if len(found) != 1:
        raise ImageError(
            f"{root}: has {len(found)} folders {FOLDER}/lib/python3.*/site-packages; give an image's root"
        )
    return found[0]


def make_environment(environment: Path) -> None:
    """Make a virtual environment with nothing in it, not even pip, on the Python of this process's base."""
    home = Path(sys.base_prefix) / "bin"
    site_packages(environment).mkdir(parents=True)
    (environment / "bin").mkdir()
    (environment / "bin" / "python").symlink_to(
        home / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    )
    text = f"home = {home}\ninclude-system-site-packages = false\n"
    (environment / "pyvenv.cfg").write_text(text, encoding="utf-8")
