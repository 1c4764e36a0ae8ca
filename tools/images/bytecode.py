"""Bytecode of everything an image imports: Python's own library included, whose bytecode the base leaves out.

On a read-only root file system nothing is ever written back, so a driver would compile some two hundred modules of
the standard library at each start: `docs/performance.md` has what that costs.
"""

import importlib.util
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from images.targets import ImageError

_UNUSED = frozenset(
    [
        "site-packages",
        "test",
        "tests",
        "idle_test",
        "idlelib",
        "tkinter",
        "turtledemo",
        "turtle.py",
        "ensurepip",
        "lib2to3",
        "distutils",
        "pydoc_data",
        "venv",
        "__pycache__",
    ]
)
"""Of the standard library: editors, drawings, installers, tests."""

Job = tuple[Path, Path, Path]
"""Source, bytecode, and the path that tracebacks show."""


def compile_site(root: Path, site: Path) -> None:
    """Compile the modules below `site`; tracebacks show their paths in an image with this `root`.

    Raises:
        ImageError: a module is not Python.
    """
    sources = sorted(site.rglob("*.py"))
    _run((path, _cached(path), Path("/") / path.relative_to(root)) for path in sources)


def compile_standard_library(root: Path) -> list[Path]:
    """Write below `root` the bytecode of the running Python's library where it would lie, and return the files.

    Raises:
        ImageError: a module is not Python.
    """
    jobs = [(path, root / _cached(path).relative_to("/"), path) for path in _library()]
    _run(jobs)
    return [target for _, target, _ in jobs]


def _library() -> Iterator[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).parts
        if not _UNUSED & set(parts) and not parts[0].startswith("config-"):
            yield path


def _cached(path: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(path), optimization=""))


def _run(jobs: Iterable[Job]) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-P", str(Path(__file__).with_name("compile_files.py"))],
        input="".join("\t".join(map(str, job)) + "\n" for job in jobs),
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        raise ImageError(f"bytecode: {done.stderr.strip()}")
