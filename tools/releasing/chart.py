"""The chart that a vendor's release publishes: `charts/dra-driver` with that vendor's values inside, and one image.

Who installs it gives no file of values: `helm install dra-driver-pizza oci://…/charts/dra-driver-pizza`. The image is
pinned by digest, so whoever has verified the chart has verified what will run.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from check_charts import over
from releasing.members import ReleaseError, member_named

_CHART = "dra-driver"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def chart_name(root: Path, package: str) -> str:
    """Return the name of a package's chart, empty if no vendor's values name its image."""
    return next((f"{_CHART}-{file.stem}" for file in _values(root, package)), "")


def make_chart(root: Path, package: str, registry: str, digest: str) -> str:
    """Write a vendor's chart below `dist/chart`, and return its folder as seen from the root.

    Raises:
        ReleaseError: the package has no chart, or the digest is none.
    """
    member, name = member_named(root, package), chart_name(root, package)
    if not name:
        raise ReleaseError(f"{package}: no file of charts/{_CHART}/values names its image")
    if not _DIGEST.fullmatch(digest):
        raise ReleaseError(f"{digest!r} is no digest: sha256: and 64 hexadecimal digits")
    out = root / "dist" / "chart" / name
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(root / "charts" / _CHART, out, ignore=shutil.ignore_patterns("values"))
    version = str(member.version)
    about = _read(out / "Chart.yaml")
    _write(out / "Chart.yaml", {**about, "name": name, "version": version, "appVersion": version})
    values = _read(out / "values.yaml")
    over(values, _read(next(_values(root, package))))
    over(values, {"image": {"registry": registry, "digest": digest}})
    if not values["nameOverride"]:
        values["nameOverride"] = _CHART  # objects have the same names and labels from either chart
    _write(out / "values.yaml", values)
    return str(out.relative_to(root))


def _values(root: Path, package: str) -> Iterator[Path]:
    for file in sorted((root / "charts" / _CHART / "values").glob("*.yaml")):
        if _read(file).get("image", {}).get("repository") == package:
            yield file


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return content


def _write(file: Path, content: Mapping[str, Any]) -> None:
    head = "# Made for a release by tools/release.py; README.md describes every value.\n"
    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    file.write_text(head + text, "utf-8")
