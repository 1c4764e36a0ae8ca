"""Check `.github/workflows`: rules of our own, then zizmor, the format's JSON Schema and actionlint.

Called by `make workflows` and `.ci/run`. A linter that cannot be had here is named with the reason, and is no fault;
our own rules always apply. Exit codes: 0 fine, 1 findings.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from workflows.linters import ALL
from workflows.rules import Workflow, faults, pins, read

ROOT = Path(__file__).resolve().parent.parent


def own_faults(workflows: Sequence[Workflow]) -> Iterator[str]:
    """Say where workflows break our rules, and where two disagree about an action's version."""
    versions = defaultdict(set)
    for workflow in workflows:
        yield from faults(workflow)
        for action, pin in pins(workflow):
            versions[action].add(pin)
    for action, found in sorted(versions.items()):
        if len(found) > 1:
            yield f"{action} is pinned in {len(found)} ways: {', '.join(sorted(found))}"


def main(root: Path = ROOT) -> int:
    """Run all checks; the module's docstring has the exit codes."""
    files = sorted((root / ".github" / "workflows").glob("*.yml"))
    found = list(own_faults([read(file, root) for file in files]))
    for ask in ALL:
        verdict = ask(files)
        found += verdict.findings
        said = (
            f"skipped: {verdict.skipped}" if verdict.skipped else f"{len(verdict.findings)} lines"
        )
        print(f"{verdict.linter}: {said}")
    print(*found, f"{len(files)} workflows, {len(found)} findings", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
