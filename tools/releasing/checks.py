"""What must hold before a package is built for release. Every refusal names the file and what to do."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from releasing.changelog import fragments, section
from releasing.members import Member, excluded, git, released

_SHOWN = 5


def refusals(root: Path, member: Member) -> Iterator[str]:
    """Say everything that stands in the way of releasing this version of a package.

    Locks are looked at last, when nothing else is wrong: that takes longest, and other changes move them.
    """
    reasons = [
        *_tree(root),
        *_version(root, member),
        *_changelog(root, member),
        *excluded(root, member),
    ]
    yield from reasons or _locks(root)


def _tree(root: Path) -> Iterator[str]:
    dirty = git(root, "status", "--porcelain").splitlines()
    if dirty:
        names = ", ".join(line[3:] for line in dirty[:_SHOWN])
        more = f" and {len(dirty) - _SHOWN} more" if len(dirty) > _SHOWN else ""
        yield f"the tree is not clean ({names}{more}): commit or remove them; what is released is a commit"


def _version(root: Path, member: Member) -> Iterator[str]:
    last = released(root, member.name)[-1:]
    where = f"packages/{member.name}/pyproject.toml"
    if last and last[0] == member.version:
        yield f"the tag {member.tag} exists: `make changelog PKG={member.name}` sets the next version"
    elif last and last[0] > member.version:
        yield f"{where}: version {member.version} is lower than the released {last[0]}"


def _changelog(root: Path, member: Member) -> Iterator[str]:
    left = [str(each.file.relative_to(root)) for each in fragments(member.folder)]
    what = f"run `make changelog PKG={member.name}` and merge what it writes"
    if left:
        yield f"{', '.join(left)}: not in the changelog yet; {what}"
    elif not section((member.folder / "CHANGELOG.md").read_text("utf-8"), member.version):
        yield f"packages/{member.name}/CHANGELOG.md has no section {member.version}; {what}"


def _locks(root: Path) -> Iterator[str]:
    """Images are made from locks: a stale one would make the release's image of other versions than were tested."""
    if not any(root.glob("images/locks/*.txt")):
        return
    command = [sys.executable, str(root / "tools" / "gen_locks.py"), "--check"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"images/locks: {(done.stdout + done.stderr).strip()}"
