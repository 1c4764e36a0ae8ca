"""Files of the chart that are made elsewhere: the alerts, and each driver's policy for its parameters.

A packaged chart can only read its own folder, so they are copied, and held equal to where they come from.
"""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import yaml

from charts.cases import CHART

ALERTS = Path("docs/alerts.yaml")


def copies(root: Path) -> Iterator[tuple[Path, str]]:
    """Each such file of the chart, with what it should hold."""
    yield CHART / "files" / "alerts.yaml", (root / ALERTS).read_text(encoding="utf-8")
    known = {entry.name for entry in entry_points(group="pydra.drivers")}
    for vendor in sorted((root / CHART / "values").glob("*.yaml")):
        driver = yaml.safe_load(vendor.read_text(encoding="utf-8"))["driver"]["name"]
        if vendor.stem in known:  # a package that is not installed here is checked where it is
            yield CHART / "files" / "parameters" / f"{driver}.json", _policy(vendor.stem)


def _policy(driver: str) -> str:
    command = [sys.executable, "-m", "pydra_core", "config", "policy", "--driver", driver]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True)
    return done.stdout


def compare(root: Path, *, write: bool) -> Iterator[str]:
    """Say which copies are behind, or write them."""
    for path, text in copies(root):
        file = root / path
        if write:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            yield f"{path}: is behind its source; run python tools/check_charts.py --write"
