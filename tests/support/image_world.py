"""The root file systems of our images, made by the Dockerfile's own steps: built once for all workers of a run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "images" / "locks"
BUILD = (sys.executable, "-I", str(ROOT / "tools" / "build_image.py"))
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Those that the locks hold wheels for."""


@dataclass(frozen=True)
class Images:
    """Layers and what they are made of; `pizza_root` is the whole of pydra-pizza's image above its base."""

    folder: Path

    @property
    def dist(self):
        return self.folder / "dist"

    @property
    def core(self):
        return self.folder / "core"

    @property
    def pizza(self):
        return self.folder / "pizza"

    @property
    def pizza_root(self):
        return self.folder / "pizza-root"

    @property
    def site(self):
        (found,) = self.pizza_root.glob("opt/pydra/lib/python3.*/site-packages")
        return found

    def driver(self, *arguments):
        """The command of the image's entry point, run outside of a container: its interpreter, isolated."""
        folder = self.pizza_root / "opt/pydra/bin"
        return [str(folder / "python"), "-IB", str(folder / "driver"), *arguments]


def run(*command, cwd=ROOT, **environ):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | environ
    command = [str(part) for part in command]
    return subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )


def run_cached(*command, cwd=ROOT):
    """Run a command that needs an index only where uv's cache lacks what the environment here was made of."""
    done = run(*command, cwd=cwd, UV_OFFLINE="1")
    return done if done.returncode == 0 else run(*command, cwd=cwd)


def layer(package, dist, out, *, core=None, lock=None):
    """Run the command with which the Dockerfile builds a layer."""
    below = ("--core", core) if core else ()
    lock = lock or LOCKS / f"{package}.txt"
    where = ("--wheels", dist, "--lock", lock, "--out", out)
    return run_cached(*BUILD, "layer", "--package", package, *where, *below)


def must(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_sums(dist):
    lines = (
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(dist.glob("*.whl"))
    )
    (dist / "SHA256SUMS").write_text("".join(lines))


def merged(out, *layers):
    """What a container runtime makes of layers: each over those before."""
    for each in layers:
        shutil.copytree(each, out, symlinks=True, dirs_exist_ok=True)
    return out


def acme_lock(dist):
    """The lock of a vendor's package outside this repository that needs nothing but ours."""
    path = dist.parent / "acme.txt"
    shutil.copy(LOCKS / "pydra-core.txt", path)
    return path


def images(tmp_path_factory):
    """The world, built by whichever worker comes first; skips where it cannot be built at all."""
    if sys.platform != "linux":
        pytest.skip("images are Linux's, and so is what runs in them")
    if f"{sys.version_info[0]}.{sys.version_info[1]}" not in PYTHONS:
        pytest.skip(
            f"locks of images hold no wheels for Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
    if not shutil.which(UV):
        pytest.skip("uv is not installed: images are built with it")
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    world = Images(base / "images")
    with (base / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not world.pizza_root.exists():
            shutil.rmtree(world.folder, ignore_errors=True)
            build_images(world)
    return world


def build_images(world):
    """Build wheels and layers as `make image` would have Docker do it."""
    world.folder.mkdir()
    new = (sys.executable, "-P", "-m", "pydra_core", "new", "acme")
    must(run(*new, "--driver-name", "card.acme.example", cwd=world.folder))
    build = (UV, "build", "--wheel", "--no-sources", "--out-dir", world.dist)
    must(run_cached(*build, "--all-packages"))
    must(run_cached(*build, cwd=world.folder / "acme"))
    write_sums(world.dist)
    done = layer("pydra-core", world.dist, world.core)
    if done.returncode and "error sending request" in done.stderr:
        pytest.skip(f"third parties are neither in uv's cache nor to be fetched:\n{done.stderr}")
    must(done)
    must(layer("pydra-pizza", world.dist, world.pizza, core=world.core))
    merged(world.folder / "merging", world.core, world.pizza).rename(world.pizza_root)
