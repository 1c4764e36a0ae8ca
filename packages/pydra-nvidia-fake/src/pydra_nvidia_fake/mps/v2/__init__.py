"""The second protocol: one line a command, answered with text whatever comes of it."""

from __future__ import annotations

from pydra_nvidia_fake.mps.service import Service
from pydra_nvidia_fake.mps.v2 import about, limits, partitions
from pydra_nvidia_fake.mps.v2.call import Call

__all__ = ["answer"]

_COMMANDS = about.COMMANDS | limits.COMMANDS | partitions.COMMANDS
_WITH_OPTIONS = {"device_query"}


def answer(service: Service, uid: int, line: str) -> str:
    """Do what a line of a user says; the answer without its last newline, empty if nothing is said."""
    words = line.split()
    name = words[0] if words else ""
    known = name in _COMMANDS
    if name in partitions.COMMANDS:
        known = service.features.static
    if name in _WITH_OPTIONS:
        known = service.features.options
    return _COMMANDS[name](Call(service, uid, words[1:])) if known else f'Unknown command "{name}"'
