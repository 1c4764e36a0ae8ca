"""Renders a chart: by helm where it is, by our own program with Go's template engine where it was built.

Public CI has both and compares them; a test says why it is skipped where there is neither.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from charts.cases import CHART, Case

KUBERNETES = "1.36.0"
"""The version the templates see."""
OWN = Path(".venv-charts/bin/helm_render")
"""Where tools/helm_render/install.sh puts the program."""
_SOURCE = re.compile(r"^---\n# Source: (\S+)\n", re.MULTILINE)


class RenderError(Exception):
    """The chart cannot be rendered; has the renderer's words."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What came out: objects in no particular order, and the notes if the renderer gives them."""

    objects: tuple[dict[str, Any], ...]
    notes: str | None


@dataclass(frozen=True, slots=True)
class Renderer:
    """One program that renders."""

    name: str
    program: str

    def render(self, root: Path, case: Case) -> Rendered:
        """Render one case. Raises `RenderError`."""
        flags = [flag for file in case.files for flag in ("-f", str(file))]
        done = subprocess.run(
            [self.program, *self._start(case), *flags, str(CHART)],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RenderError(f"{self.name}: {case.name}: {done.stderr.strip()}")
        return _read(done.stdout)

    def _start(self, case: Case) -> list[str]:
        where = ["--namespace", case.namespace, "--kube-version", KUBERNETES]
        if self.name == "helm":
            return ["template", case.release, *where]
        return ["-release", case.release, *where]


def renderers(root: Path) -> Iterator[Renderer]:
    """Those that are here."""
    if helm := shutil.which("helm"):
        yield Renderer("helm", helm)
    own = root / OWN
    if os.access(own, os.X_OK):
        yield Renderer("helm_render", str(own))


MISSING = "no helm, and tools/helm_render/install.sh has not built helm_render"
"""Why nothing is rendered where there are no renderers."""


def _read(text: str) -> Rendered:
    _, *parts = _SOURCE.split(text)
    objects: list[dict[str, Any]] = []
    notes = None
    for source, content in zip(parts[::2], parts[1::2], strict=True):
        if source.endswith("/NOTES.txt"):
            notes = content.strip("\n") + "\n"
        else:
            objects += [body for body in yaml.safe_load_all(content) if body]
    return Rendered(tuple(objects), notes)
