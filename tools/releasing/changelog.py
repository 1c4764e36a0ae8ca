"""Changelogs: fragments of `changes/` become a section of CHANGELOG.md, and their kinds the next version.

A fragment is `<issue>.<feature|bugfix|doc|removal>.md`, held by `tools/house/fragments.py`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from packaging.version import Version

HEADINGS = {
    "removal": "Removed",
    "feature": "New",
    "bugfix": "Fixed",
    "doc": "Documentation",
}
"""The kinds of fragments in the order in which a section has them."""

_BREAKS_BEFORE_1 = {"removal", "feature"}
_SECTION = re.compile(r"^## (\S+)[^\n]*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one change says to users."""

    file: Path
    issue: int
    kind: str
    text: str


def fragments(folder: Path) -> list[Fragment]:
    """Return the fragments of a package, by kind and issue."""
    found = []
    for file in folder.glob("changes/*.md"):
        issue, kind, _ = file.name.split(".")
        found.append(Fragment(file, int(issue), kind, file.read_text("utf-8").strip()))
    order = list(HEADINGS)
    return sorted(found, key=lambda each: (order.index(each.kind), each.issue))


def next_version(last: Version | None, written: Version, kinds: Iterable[str]) -> Version:
    """Return the version that these kinds of changes make.

    Before 1.0 a new feature and a removal make a minor version, everything else a patch, because members' ranges on
    each other are one minor version. From 1.0 on a removal makes a major and a feature a minor version. A version
    that was written by hand and is higher stays; without any release the one that is written stays.
    """
    if last is None or written > last:
        return written
    present = set(kinds)
    if last.major == 0:
        parts = (0, last.minor + 1, 0) if present & _BREAKS_BEFORE_1 else _patch(last)
    elif "removal" in present:
        parts = (last.major + 1, 0, 0)
    else:
        parts = (last.major, last.minor + 1, 0) if "feature" in present else _patch(last)
    return Version(".".join(map(str, parts)))


def _patch(version: Version) -> tuple[int, int, int]:
    return version.major, version.minor, version.micro + 1


def folded(changelog: str, version: Version, day: date, found: Sequence[Fragment]) -> str:
    """Return a changelog with the fragments as its newest section; one of the same version grows."""
    earlier = section(changelog, version)
    head, sections = _parts(_without(changelog, version))
    body = "\n\n".join(part for part in (_body(found), earlier) if part)
    return f"{head}\n\n## {version} ({day.isoformat()})\n\n{body}\n{sections}"


def section(changelog: str, version: Version) -> str:
    """Return what a changelog says of a version, empty when it says nothing."""
    found = {match[1]: match[2].strip() for match in _SECTION.finditer(changelog)}
    return found.get(str(version), "")


def _body(found: Sequence[Fragment]) -> str:
    parts = []
    for kind, heading in HEADINGS.items():
        lines = [_bullet(each) for each in found if each.kind == kind]
        if lines:
            parts.append("\n".join((f"### {heading}", "", *lines)))
    return "\n\n".join(parts)


def _bullet(fragment: Fragment) -> str:
    return "- " + fragment.text.replace("\n", "\n  ") + f" (#{fragment.issue})"


def _parts(changelog: str) -> tuple[str, str]:
    start = changelog.find("\n## ")
    if start < 0:
        return changelog.rstrip(), ""
    return changelog[:start].rstrip(), "\n" + changelog[start:].strip() + "\n"


def _without(changelog: str, version: Version) -> str:
    for match in _SECTION.finditer(changelog):
        if match[1] == str(version):
            return changelog[: match.start()] + changelog[match.end() :]
    return changelog
