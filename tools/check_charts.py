"""Check the charts: schema and table of values, copies, golden files, Kubernetes' schemas, CEL.

Called by `.ci/run`. With --write copies and golden files are brought up to date first. Golden files are compared with
the templates where something can render (helm, or what tools/helm_render/install.sh builds), else it says so; all the
rest needs nothing. Exit codes: 0 fine, 1 findings.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no types
import yaml

from charts import copies, golden
from charts.cases import CHART, GOLDEN, cases
from charts.objects import faults
from charts.rendering import MISSING, RenderError, renderers

ROOT = Path(__file__).parents[1]


def values_faults(root: Path) -> Iterator[str]:
    """What is wrong with values, merged as Helm merges them before it looks."""
    made = json.loads((root / CHART / "values.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(made)
    for case in cases(root):
        values: dict[str, Any] = {}
        for file in (CHART / "values.yaml", *case.files):
            over(values, yaml.safe_load((root / file).read_text(encoding="utf-8")))
        for fault in validator.iter_errors(values):
            yield f"{case.files[-1]}: {'.'.join(map(str, fault.absolute_path))}: {fault.message}"


def over(values: dict[str, Any], more: dict[str, Any]) -> None:
    """Lay values over others; maps are joined, all else is replaced."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            over(values[key], value)
        else:
            values[key] = value


def rendering_faults(root: Path, *, write: bool) -> Iterator[str]:
    """Golden files that are not what the templates render to."""
    found = tuple(renderers(root))
    if not found:
        print(f"golden files are not compared with the templates: {MISSING}")
    for renderer in found:
        print(f"golden files are compared with what {renderer.name} renders")
        try:
            yield from golden.compare(root, renderer, write=write)
        except RenderError as err:
            yield str(err)


def golden_faults(root: Path) -> Iterator[str]:
    """What Kubernetes has against the golden objects, and files that belong to no case."""
    known = set()
    for case in cases(root):
        known |= {case.objects, case.notes}
        yield from (f"{case.objects}: {fault}" for fault in faults(golden.kept(root, case.name)))
    here = {path.relative_to(root) for path in (root / GOLDEN).iterdir()}
    yield from (f"{path}: belongs to no values file; remove it" for path in sorted(here - known))


def main() -> int:
    """Check, and write before that if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="copies and golden files")
    write = parser.parse_args().write
    command = [sys.executable, str(ROOT / "tools" / "gen_values_schema.py"), "--check"]
    code = subprocess.run(command, check=False).returncode
    findings = [
        *copies.compare(ROOT, write=write),
        *rendering_faults(ROOT, write=write),
        *values_faults(ROOT),
        *golden_faults(ROOT),
    ]
    print(*findings, f"charts: {len(findings)} findings", sep="\n")
    return 1 if findings or code else 0


if __name__ == "__main__":
    sys.exit(main())
