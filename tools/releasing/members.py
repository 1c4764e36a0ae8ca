"""The workspace's packages as a release sees them: version, tag, and what each asks of the others."""

import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version


class ReleaseError(Exception):
    """What cannot be released, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One package; `ranges` are those it puts on other members."""

    name: str
    version: Version
    folder: Path
    ranges: Mapping[str, SpecifierSet]

    @property
    def tag(self) -> str:
        """The tag that the release of this version has."""
        return f"{self.name}/v{self.version}"


def members(root: Path) -> dict[str, Member]:
    """Return all packages by name, each after those it needs.

    Raises:
        ReleaseError: a version is none.
    """
    found = {path.parent.name: _project(path) for path in root.glob("packages/*/pyproject.toml")}
    made = {name: _member(root, project, frozenset(found)) for name, project in found.items()}
    graph = {name: sorted(made[name].ranges) for name in sorted(made)}
    return {name: made[name] for name in TopologicalSorter(graph).static_order()}


def _project(path: Path) -> Mapping[str, str | list[str]]:
    project: Mapping[str, str | list[str]] = tomllib.loads(path.read_text("utf-8"))["project"]
    return project


def _member(root: Path, project: Mapping[str, str | list[str]], names: frozenset[str]) -> Member:
    name = str(project["name"])
    needs = map(Requirement, project.get("dependencies", ()))
    ranges = {need.name: need.specifier for need in needs if need.name in names}
    version = Version(str(project["version"]))
    if str(version) != project["version"]:
        raise ReleaseError(f"{name}: version {project['version']!r} must be written {version}")
    return Member(name, version, root / "packages" / name, ranges)


def member_named(root: Path, name: str) -> Member:
    """Return one package.

    Raises:
        ReleaseError: there is no such package.
    """
    found = members(root)
    if name not in found:
        raise ReleaseError(f"{name!r} is no package: PKG is one of {', '.join(found)}")
    return found[name]


def git(root: Path, *arguments: str) -> str:
    """Run git and return what it prints.

    Raises:
        ReleaseError: git refuses.
    """
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def released(root: Path, name: str) -> list[Version]:
    """Return the versions of a package that have a tag here, the newest last."""
    tags = git(root, "tag", "--list", f"{name}/v*").split()
    return sorted(Version(tag.partition("/v")[2]) for tag in tags)


def excluded(root: Path, member: Member) -> Iterator[str]:
    """Say which ranges between members leave out what the tree holds, of those that concern `member`."""
    everyone = members(root)
    for user in everyone.values():
        for name, allowed in user.ranges.items():
            version = everyone[name].version
            if member.name in (name, user.name) and version not in allowed:
                yield (
                    f"{user.name} requires {name}{allowed}, which leaves out {version}: "
                    f"widen it in packages/{user.name}/pyproject.toml and release {user.name} too"
                )


def wheel_tags(root: Path, name: str) -> list[str]:
    """Return the tags of the releases whose wheels a package's image is made of: its own, and what that needs.

    Of each member the newest release is taken that all the others allow.

    Raises:
        ReleaseError: a member has no such release.
    """
    everyone = members(root)
    wanted, needed = [name], {name}
    while wanted:
        more = set(everyone[wanted.pop()].ranges) - needed
        wanted += sorted(more)
        needed |= more
    tags = []
    for each in (member for member in everyone if member in needed):
        ranges = [everyone[user].ranges.get(each, SpecifierSet()) for user in needed]
        fitting = [v for v in released(root, each) if all(v in allowed for allowed in ranges)]
        if not fitting:
            asked = ", ".join(str(allowed) for allowed in ranges if allowed) or "any version"
            raise ReleaseError(f"{each} has no release that fits {asked}: release it first")
        tags.append(f"{each}/v{fitting[-1]}")
    return tags
