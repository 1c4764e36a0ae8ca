"""Which container runtimes are on the node and in which version: from the node object, else from their programs."""

from __future__ import annotations

import asyncio
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydra_core._commands.doctor.subject import Subject

Version: TypeAlias = tuple[int, int, int]

PROGRAMS = {"containerd": "containerd", "cri-o": "crio", "docker": "dockerd", "podman": "podman"}
"""Runtime, as the kubelet calls it, to the name of its program."""

_FOLDERS = (
    "/usr/bin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/local/sbin",
    "/var/lib/rancher/k3s/data/current/bin",
    "/var/lib/rancher/rke2/bin",
    "/var/lib/k0s/bin",
    "/snap/microk8s/current/bin",
)
_NUMBERS = re.compile(r"(?<![\d.])v?(\d+)\.(\d+)\.(\d+)")
_PATIENCE = 3.0
_MOST = 4096


@dataclass(frozen=True, slots=True)
class Runtime:
    """One runtime; `version` is None where nobody says it, `source` who said it."""

    name: str
    version: Version | None
    source: str

    def __str__(self) -> str:
        numbers = ".".join(map(str, self.version)) if self.version else "of unknown version"
        return f"{self.name} {numbers} ({self.source})"


def parse(text: str) -> Version | None:
    """The first three-part number in a text, like `containerd github.com/... v1.7.13 7c3aca7`."""
    found = _NUMBERS.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def reported(text: str) -> Runtime | None:
    """From a node's `status.nodeInfo.containerRuntimeVersion`, like `containerd://1.7.13`."""
    name, separator, version = text.partition("://")
    return Runtime(name, parse(version), "node status") if separator and name else None


async def installed(subject: Subject) -> list[Runtime]:
    """Runtimes whose programs are on the node, each asked for its version, all at once."""
    found = list(_programs(subject))
    texts = await asyncio.gather(*(_ask(path) for _, path in found))
    return [
        Runtime(name, parse(text), str(path))
        for (name, path), text in zip(found, texts, strict=True)
    ]


def program(subject: Subject, name: str) -> Path | None:
    """Where a runtime's program lies on the node, as this process sees it."""
    below = ":".join(str(subject.on_host(folder)) for folder in _FOLDERS)
    path = shutil.which(PROGRAMS.get(name, name), path=below)
    return Path(path) if path else None


def _programs(subject: Subject) -> Iterator[tuple[str, Path]]:
    for name in PROGRAMS:
        if path := program(subject, name):
            yield name, path


async def _ask(program: Path) -> str:
    """What `--version` prints; nothing if it cannot run here or does not end."""
    try:
        process = await asyncio.create_subprocess_exec(
            str(program), "--version", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_PATIENCE):
            text = await process.stdout.read(_MOST) if process.stdout else b""
            await process.wait()
    except TimeoutError:
        return ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return text.decode(errors="replace")
