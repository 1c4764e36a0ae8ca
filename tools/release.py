"""Make a release of one package ready: fold its changelog, check and build it, say which are due. Pushes nothing.

`make changelog PKG=…` folds the fragments into CHANGELOG.md and sets the version; the result is a pull request.
`make release PKG=…` checks everything and builds what a release consists of into `dist/release/<package>`. The
release workflow asks `due` after each merge, runs the same check and build, and makes the tag: a version is due when
its changelog has a section for it and no tag exists. `wheels` and `chart` are for its later jobs: which released wheels an
image is made of, and the chart that runs this image.

Exit codes: 0 fine, 1 refused, with every reason.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from releasing.artefacts import build
from releasing.changelog import folded, fragments, next_version, section
from releasing.chart import chart_name, make_chart
from releasing.checks import refusals
from releasing.members import (
    ReleaseError,
    excluded,
    member_named,
    members,
    released,
    wheel_tags,
)


def changelog(root: Path, name: str, day: date) -> None:
    """Fold a package's fragments into its changelog, and set the version they make.

    Raises:
        ReleaseError: there is nothing to fold.
    """
    member = member_named(root, name)
    found = fragments(member.folder)
    if not found:
        raise ReleaseError(f"packages/{name}/changes holds no fragment: nothing has changed")
    last = next(iter(released(root, name)[-1:]), None)
    version = next_version(last, member.version, (each.kind for each in found))
    file = member.folder / "CHANGELOG.md"
    file.write_text(folded(file.read_text("utf-8"), version, day, found), "utf-8")
    project = member.folder / "pyproject.toml"
    text, line = project.read_text("utf-8"), f'version = "{version}"'
    project.write_text(re.sub(r'(?m)^version = ".*"$', line, text, count=1), "utf-8")
    for each in found:
        each.file.unlink()
    print(f"{name} {version}: {len(found)} fragments are in packages/{name}/CHANGELOG.md")
    for reason in excluded(root, member_named(root, name)):
        print(reason)


def release(root: Path, name: str) -> None:
    """Check a package and build what its release consists of.

    Raises:
        ReleaseError: with everything that stands in the way.
    """
    member = member_named(root, name)
    reasons = list(refusals(root, member))
    if reasons:
        raise ReleaseError("\n".join(reasons))
    out = root / "dist" / "release" / name
    for file in build(root, member, out):
        print(file.relative_to(root))
    print(f"{member.tag} is ready. Nothing was pushed: the release workflow makes the tag.")


def due(root: Path) -> list[dict[str, str | bool]]:
    """Return the packages whose version has a section in the changelog and no tag, each after those it needs."""
    return [
        {
            "package": member.name,
            "version": str(member.version),
            "tag": member.tag,
            "image": (root / "images" / "locks" / f"{member.name}.txt").is_file(),
            "chart": chart_name(root, member.name),
        }
        for member in members(root).values()
        if section((member.folder / "CHANGELOG.md").read_text("utf-8"), member.version)
        and member.version not in released(root, member.name)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the module's docstring has the exit codes."""
    parser = argparse.ArgumentParser(description="make a release of one package ready")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    actions = parser.add_subparsers(dest="action", required=True)
    for action in ("changelog", "check"):
        actions.add_parser(action).add_argument("package")
    actions.add_parser("due")
    actions.add_parser("wheels").add_argument("package")
    chart = actions.add_parser("chart")
    chart.add_argument("package")
    chart.add_argument("--registry", required=True, help="where the image is: registry and folder")
    chart.add_argument("--digest", required=True, help="the image's, sha256:…")
    given = parser.parse_args(argv)
    root = given.root.resolve()
    try:
        match given.action:
            case "changelog":
                changelog(root, given.package, datetime.now(UTC).date())
            case "check":
                release(root, given.package)
            case "wheels":
                print(*wheel_tags(root, given.package), sep="\n")
            case "chart":
                print(make_chart(root, given.package, given.registry, given.digest))
            case _:
                print(json.dumps(due(root)))
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
