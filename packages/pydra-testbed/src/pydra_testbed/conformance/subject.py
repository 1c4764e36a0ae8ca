"""What is tested: the command that starts the driver, and valid parameters for its claims."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydra_core.errors import ConfigError

Parameters: TypeAlias = Mapping[str, Any]
PLACES = ("node", "kubeconfig", "kubelet_root", "cdi_dir", "pod_uid", "devices", "device")
"""What may stand in braces in a command."""
DEVICES = 3
"""As many as most cases need."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A driver to be tested.

    Attributes:
        command: Program and arguments, with `{node}` and the like where a path or name belongs.
        parameters: Opaque parameters that the driver takes, two or more that make a visible difference at best.
        sicken: A command that makes `{device}` sick, so that the driver can see it; empty if there is none.
        heal: A command that makes it well again.
    """

    command: tuple[str, ...]
    parameters: tuple[Parameters, ...] = ()
    sicken: tuple[str, ...] = ()
    heal: tuple[str, ...] = ()

    @classmethod
    def installed(cls, name: str, parameters: Sequence[Parameters] = ()) -> Subject:
        """A driver that is installed beside the kit, by the name of its entry point."""
        program = (sys.executable, "-m", "pydra_core", "run", "--driver", name)
        return cls(program, tuple(parameters))

    @classmethod
    def started_by(cls, command: str, parameters: Sequence[Parameters] = ()) -> Subject:
        """Any driver, by the command line that starts it.

        Raises:
            ConfigError: it cannot be split into words, or is empty.
        """
        return cls(split("start", command), tuple(parameters))

    @property
    def counts(self) -> bool:
        """Whether the command can be told how many devices there shall be."""
        return any("{devices}" in word for word in self.command)


def split(key: str, command: str) -> tuple[str, ...]:
    """A command line as words. `key` is the flag that gave it.

    Raises:
        ConfigError: it cannot be split into words, or is empty.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as err:
        raise _unusable(key, f"{command!r}: {err}; mend its quotes") from err
    if not words:
        raise _unusable(key, "the command is empty")
    return words


def argv(command: Sequence[str], places: Mapping[str, str]) -> list[str]:
    """A command for one node; braces that name no place stay as they are."""
    words = list(command)
    for name in PLACES:
        words = [word.replace(f"{{{name}}}", places.get(name, "")) for word in words]
    return words


def read_parameters(file: Path) -> tuple[Parameters, ...]:
    """One JSON object of parameters, or a list of them.

    Raises:
        ConfigError: it cannot be read or is something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise _unusable("config", f"{file} cannot be read: {err}") from err
    entries = content if isinstance(content, list) else [content]
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise _unusable(
            "config", f"{file} must hold a JSON object of parameters, or a list of them"
        )
    return tuple(entries)


def _unusable(key: str, why: str) -> ConfigError:
    return ConfigError(f"conformance: --{key}: {why}", key=key, source="flag")
