"""Write the table of conformance cases into docs/user/conformance.md, or with --check say whether it is there.

Run it after a case was added or worded anew. Exit codes: 0 fine, 1 the page is behind, 2 the page has no place for it.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from pydra_testbed.conformance import CASES

PAGE = Path(__file__).parents[1] / "docs" / "user" / "conformance.md"
BEGIN, END = "<!-- cases: begin -->\n", "<!-- cases: end -->\n"


def table() -> Iterator[str]:
    """One row a case."""
    yield "| case | required | because |\n|---|---|---|\n"
    for case in CASES:
        yield f"| `{case.id}` | {case.title} | {case.why} |\n"


def main() -> int:
    """Generate or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    arguments = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        print(f"{PAGE}: has no lines {BEGIN.strip()} and {END.strip()}; put them back")
        return 2
    wanted = head + BEGIN + "".join(table()) + END + tail
    if arguments.check and wanted != text:
        print(f"{PAGE}: is behind the cases; run python tools/gen_conformance.py")
        return 1
    if not arguments.check:
        PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
