"""Check what no off-the-shelf linter checks: size, broad catches, reasons, fragments, leaks.

Called by `make check` and `.ci/run`; STYLE.md says which rule rests on which checker. Looks at the
files git tracks or would track, so that a finding appears before the commit. One line a finding:
`path:line: rule: message`. Exit codes: 0 fine, 1 findings, 2 git could not list the files.
"""

import argparse
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from house.catches import broad_catch
from house.files import File, Finding, tracked
from house.fragments import fragments
from house.leaks import leaks
from house.reasons import reasons
from house.sizes import function_length, module_length, public_names

RULES: tuple[Callable[[File], Iterator[Finding]], ...] = (
    module_length,
    function_length,
    broad_catch,
    reasons,
    fragments,
    leaks,
    public_names,
)


def check(file: File) -> Iterator[Finding]:
    """Apply every rule to one file."""
    try:
        for rule in RULES:
            yield from rule(file)
    except (SyntaxError, tokenize.TokenError) as error:
        yield file.finding(1, "syntax", f"{error}: not Python, so not all rules were checked")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the module's docstring has the exit codes."""
    parser = argparse.ArgumentParser(description="check the rules of the house")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1])
    root = parser.parse_args(argv).root.resolve()
    try:
        files = tracked(root)
    except subprocess.CalledProcessError as error:
        print(f"check_house: git lists no files: {error.stderr.decode()}", file=sys.stderr)
        return 2
    findings = sorted(found for file in files for found in check(file))
    print(*findings, f"{len(files)} files, {len(findings)} findings", sep="\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
