"""Semantic versions as Kubernetes' CEL library reads and orders them (strict 2.0.0, numbers in 64 bit).

Used for `version` attributes of devices and by the CEL functions `semver` and `isSemver`. Build metadata
takes no part in comparison; `matchAttribute` compares spellings and does not come here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, total_ordering
from string import ascii_letters, digits

_MAX = 2**64 - 1
_IDENTIFIER = frozenset(ascii_letters + digits + "-")
_PARTS = ("major", "minor", "patch")


class SemverError(ValueError):
    """The text is no semantic version."""


@total_ordering
@dataclass(frozen=True, slots=True)
class _Identifier:
    """One dot-separated part of a pre-release: numbers order before words, by value."""

    text: str

    def _key(self) -> tuple[bool, int, str]:
        return (False, int(self.text), "") if self.text.isdigit() else (True, 0, self.text)

    def __lt__(self, other: _Identifier) -> bool:
        return self._key() < other._key()


@total_ordering
@dataclass(frozen=True, slots=True)
class Semver:
    """A version without its build metadata."""

    numbers: tuple[int, int, int]
    prerelease: tuple[_Identifier, ...] = ()

    def __lt__(self, other: Semver) -> bool:
        # No pre-release sorts after any pre-release.
        mine = (self.numbers, not self.prerelease, self.prerelease)
        return mine < (other.numbers, not other.prerelease, other.prerelease)

    def compare(self, other: Semver) -> int:
        """-1, 0 or 1."""
        return (self > other) - (self < other)

    def without_build(self) -> str:
        """The text that two equal versions share."""
        base = ".".join(map(str, self.numbers))
        return f"{base}-{'.'.join(i.text for i in self.prerelease)}" if self.prerelease else base


@lru_cache(maxsize=4096)
def parse_semver(text: str) -> Semver:
    """Read a strict semantic version.

    Raises:
        SemverError: in the words of the parser Kubernetes uses.
    """
    if not text:
        raise SemverError("Version string empty")
    pieces = text.split(".", 2)
    if len(pieces) != len(_PARTS):
        raise SemverError("No Major.Minor.Patch elements found")
    patch, _, build = pieces[2].partition("+")
    patch, _, prerelease = patch.partition("-")
    _check_tail(pieces[2], prerelease, build)
    numbers = tuple(
        _number(name, piece) for name, piece in zip(_PARTS, (*pieces[:2], patch), strict=True)
    )
    identifiers = prerelease.split(".") if prerelease else []
    major, minor, last = numbers
    return Semver((major, minor, last), tuple(map(_identifier, identifiers)))


def normalize(text: str) -> str:
    """Complete a tolerant spelling: a leading `v`, missing minor or patch, leading zeros.

    Raises:
        SemverError: a shortened version carries pre-release or build metadata.
    """
    pieces = text.removeprefix("v").split(".", 2)
    if len(pieces) < len(_PARTS) and ("+" in pieces[-1] or "-" in pieces[-1]):
        raise SemverError("Short version cannot contain PreRelease/Build meta data")
    pieces += ["0"] * (len(_PARTS) - len(pieces))
    return ".".join(map(_strip_zeros, pieces))


def _strip_zeros(piece: str) -> str:
    stripped = piece.lstrip("0") if len(piece) > 1 else piece
    return stripped if stripped[:1].isdigit() or stripped == piece else f"0{stripped}"


def _number(name: str, text: str) -> int:
    if not text or not set(text) <= set(digits):
        raise SemverError(f'Invalid character(s) found in {name} number "{text}"')
    if len(text) > 1 and text.startswith("0"):
        raise SemverError(f'{name.capitalize()} number must not contain leading zeroes "{text}"')
    if int(text) > _MAX:
        raise SemverError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def _check_tail(tail: str, prerelease: str, build: str) -> None:
    """A separator promises a part after it, and each part is made of identifiers."""
    before_build = tail.partition("+")[0]
    if "-" in before_build and not prerelease:
        raise SemverError("Prerelease is empty")
    for part in build.split(".") if "+" in tail else ():
        if not part:
            raise SemverError("Build meta data is empty")
        if not set(part) <= _IDENTIFIER:
            raise SemverError(f'Invalid character(s) found in build meta data "{part}"')


def _identifier(text: str) -> _Identifier:
    if not text:
        raise SemverError("Prerelease is empty")
    if text.isascii() and text.isdigit():
        if len(text) > 1 and text.startswith("0"):
            raise SemverError(
                f'Numeric PreRelease version must not contain leading zeroes "{text}"'
            )
        if int(text) > _MAX:
            raise SemverError(f'strconv.ParseUint: parsing "{text}": value out of range')
    elif not set(text) <= _IDENTIFIER:
        raise SemverError(f'Invalid character(s) found in prerelease "{text}"')
    return _Identifier(text)
