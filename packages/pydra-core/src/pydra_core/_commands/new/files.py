"""Fills the templates and puts the new folder in place: whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template

from pydra_core._commands.new.names import Names
from pydra_core.errors import ConfigError, HostError

_TEMPLATES = {
    "pyproject.toml": "pyproject.toml.in",
    "src/$module/__init__.py": "driver.py.in",
    "src/$module/demo/1-first-claim.yaml": "claim.yaml.in",
    "tests/test_$module.py": "driver_checks.py.in",
}


def render(names: Names) -> dict[str, str]:
    """The path of each file below the new folder, and its content."""
    words = asdict(names) | {
        "core_range": _range("pydra-core"),
        "cdi_range": _range("pydra-cdi"),
        "testbed_range": _range("pydra-testbed"),
    }
    folder = resources.files("pydra_core._commands.new") / "templates"
    return {
        Template(path).substitute(words): Template(
            (folder / template).read_text(encoding="utf-8")
        ).substitute(words)
        for path, template in _TEMPLATES.items()
    }


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Make `folder` with all files in it.

    Raises:
        ConfigError: something of that name is there already.
        HostError: the place cannot be written; nothing is left.
    """
    if folder.exists() or folder.is_symlink():
        raise ConfigError(
            f"new: {folder}: exists already; choose another name, or move it away first",
            key="name",
            source="command line",
        )
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temp:
            made = Path(temp) / folder.name
            for name, content in files.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_text(content, encoding="utf-8")
            made.rename(folder)
    except OSError as err:
        raise HostError(
            f"new: {folder}: cannot be made: {err.strerror}; choose a folder you may write, with space left"
        ) from err


def _range(distribution: str) -> str:
    """One minor version, the one that is installed here; empty if none is."""
    try:
        major, minor, *_ = version(distribution).split(".")
    except PackageNotFoundError:
        return ""
    return f">={major}.{minor},<{major}.{int(minor) + 1}"
