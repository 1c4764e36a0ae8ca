"""Which spec version the releases of container runtimes read at most; `lint` asks it, and docs/user shows it.

A runtime refuses a file that declares a version its CDI library does not know, and the devices in it are gone.
Source: the version of `container-device-interface` in the module file (go.mod, vendor.mod) of each release's
tag, up to August 2026, and the newest spec version that this version of the library names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

_Step = tuple[tuple[int, ...], str]

# First release that reads the version. Between two entries nothing changed; a backport makes an entry of its own.
SINCE: MappingProxyType[str, tuple[_Step, ...]] = MappingProxyType(
    {
        "containerd": (
            ((1, 7, 0), "0.5.0"),
            ((1, 7, 12), "0.6.0"),
            ((1, 7, 16), "0.7.0"),
            ((1, 7, 27), "0.8.0"),
            ((2, 0, 5), "1.0.0"),
            ((2, 2, 1), "1.1.0"),
        ),
        "cri-o": (
            ((1, 24, 0), "0.3.0"),
            ((1, 25, 0), "0.5.0"),
            ((1, 28, 0), "0.6.0"),
            ((1, 30, 0), "0.7.0"),
            ((1, 31, 0), "0.8.0"),
            ((1, 33, 0), "1.0.0"),
            ((1, 35, 0), "1.1.0"),
        ),
        "docker": (
            ((25, 0, 0), "0.6.0"),
            ((25, 0, 17), "0.8.0"),
            ((26, 0, 0), "0.6.0"),
            ((26, 1, 0), "0.7.0"),
            ((27, 4, 0), "0.8.0"),
            ((28, 1, 0), "1.0.0"),
            ((29, 2, 0), "1.1.0"),
        ),
        "podman": (
            ((4, 1, 0), "0.4.0"),
            ((4, 3, 0), "0.5.0"),
            ((4, 7, 0), "0.6.0"),
            ((5, 1, 0), "0.7.0"),
            ((5, 2, 0), "0.8.0"),
            ((5, 5, 0), "1.0.0"),
        ),
    }
)
_NAME = re.compile(r"([a-z-]+)-v?([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?", re.ASCII)
_NEWEST_PATCH = 10**6


@dataclass(frozen=True, slots=True)
class Runtime:
    """A release of a container runtime, like `containerd-1.7` (its newest patch) or `containerd-1.7.11`.

    Attributes:
        name: The release.
        newest: The newest spec version it reads.
    """

    name: str
    newest: str


def find_runtime(name: str) -> Runtime | None:
    """Look a release up; None when it is no release of a known runtime that reads CDI.

    A release newer than all that are known reads what the newest known one reads, if not more.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    family, major, minor, patch = found.groups()
    release = (int(major), int(minor), _NEWEST_PATCH if patch is None else int(patch))
    versions = [version for first, version in SINCE.get(family, ()) if first <= release]
    return Runtime(name, versions[-1]) if versions else None
