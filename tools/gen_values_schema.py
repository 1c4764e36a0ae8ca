"""Write charts/*/values.schema.json and the table of values in each chart's README, or with --check say if they are behind.

Run it after an edit of a values.yaml. Exit codes: 0 fine, 1 something is behind, 2 a values.yaml or README has a fault.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from charts.schema import schema, table
from charts.values_file import ValuesError, read

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"


def wanted(chart: Path) -> Iterator[tuple[Path, str]]:
    """The files of one chart that follow from its values, with what they should hold. Raises `ValuesError`."""
    values = read(chart / "values.yaml")
    made = schema(f"Values of the chart {chart.name}", values)
    yield chart / "values.schema.json", json.dumps(made, indent=2) + "\n"
    page = chart / "README.md"
    head, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValuesError(f"{page.name}: has no lines {BEGIN.strip()} and {END.strip()}")
    yield page, head + BEGIN + "".join(table(values)) + END + tail


def main() -> int:
    """Generate or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--root", type=Path, default=ROOT)
    arguments = parser.parse_args()
    behind = 0
    for chart in sorted((arguments.root / "charts").glob("*/")):
        try:
            files = list(wanted(chart))
        except (ValuesError, OSError) as err:
            print(f"charts/{chart.name}: {err}", file=sys.stderr)
            return 2
        for path, text in files:
            if not arguments.check:
                path.write_text(text, encoding="utf-8")
            elif not path.exists() or path.read_text(encoding="utf-8") != text:
                print(f"{path.relative_to(arguments.root)}: run python tools/gen_values_schema.py")
                behind = 1
    return behind


if __name__ == "__main__":
    sys.exit(main())
