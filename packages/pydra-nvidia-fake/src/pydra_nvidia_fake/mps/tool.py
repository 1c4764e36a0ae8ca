"""`nvidia-cuda-mps-control` of a fake machine: options as its version knows them, the front end, and what starts a daemon.

The script that runs this is written by `installed`. Exit status of the front end tells whether the daemon was reached,
and nothing of what it thought of a command.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from pydra_nvidia_fake.mps import features, texts, trouble, wire
from pydra_nvidia_fake.mps.features import Features

_NO_DEVICE = 100
_PIPES, _LOGS = "/tmp/nvidia-mps", "/var/log/nvidia-mps"  # noqa: S108 - the real ones
_LOST = "Cannot find MPS control daemon process"


@dataclass(slots=True)
class Asked:
    """What the command line says. `unknown` is the option that is none."""

    daemon: bool = False
    foreground: bool = False
    static: bool = False
    multiuser: bool = False
    version: bool = False
    help: bool = False
    quit: bool = False
    ready: bool = False
    protocol: int = 2
    unknown: str = ""
    command: list[str] = field(default_factory=list)


def main(argv: list[str]) -> int:
    """Run as the program whose file `argv` begins with."""
    tool = Path(argv[0]).resolve()
    able = features.read(tool)
    _note(tool, argv[1:])
    asked = read(argv[1:], able)
    said = texts.answer(asked, able)
    if said is not None:
        text, status = said
        sys.stdout.write(text)
        return status
    if asked.multiuser and wire.uid():
        sys.stdout.write(f"{texts.banner(able)}Only root user may enable -multiuser-server!\n")
        return 1
    folder = os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or _PIPES
    if asked.daemon or asked.foreground:
        return _start(tool, able, asked, folder)
    return _front_end(folder, asked)


def read(words: list[str], able: Features) -> Asked:
    """Take the options apart as this version does."""
    asked = Asked()
    flags = texts.flags(able)
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or asked.command:
            asked.command.append(word)
            continue
        name, _, value = word.partition("=")
        meant = flags.get(name)
        if meant is None:
            asked.unknown = word
            return asked
        if meant == "protocol":
            asked.protocol = int(value or next(rest, "2"))
        else:
            setattr(asked, meant, True)
    asked.protocol = (
        int(os.environ.get("CUDA_MPS_PROTOCOL_VERSION", asked.protocol)) if able.v3 else 2
    )
    return asked


def _start(tool: Path, able: Features, asked: Asked, folder: str) -> int:
    failing = trouble.met(tool, trouble.START)
    if failing:
        sys.stderr.write(failing.says)
        return int(failing.value)
    from pydra_nvidia_fake.mps.running import gpus, run  # noqa: PLC0415 - front ends do without, and start sooner

    if able.options and not gpus(tool):
        return _NO_DEVICE
    return run(tool, able, asked, folder, os.environ.get("CUDA_MPS_LOG_DIRECTORY") or _LOGS)


def _front_end(folder: str, asked: Asked) -> int:
    try:
        met = wire.connect(folder)
    except OSError:
        sys.stderr.write(f"{_LOST}\n")
        return 1
    with met, met.makefile("r", encoding="utf-8") as answers:
        if asked.quit:
            asked.command = ["quit"]
        lines = [" ".join(asked.command)] if asked.command else sys.stdin
        for line in lines:
            text = line.rstrip("\n")
            said = {"line": text, "uid": wire.uid(), "argv": asked.command}
            try:
                met.sendall(wire.line(said))
                answer = json.loads(answers.readline())
            except (OSError, ValueError):
                sys.stderr.write("Cannot send command to MPS control daemon process\n")
                return 1
            if answer["text"]:
                sys.stdout.write(f"{answer['text']}\n")
                sys.stdout.flush()
            if answer["exit"] or text.split()[:1] == ["quit"]:
                return int(answer["exit"])
    return 0


def _note(tool: Path, words: list[str]) -> None:
    with tool.with_name(f"{tool.name}.calls").open("a", encoding="utf-8") as file:
        file.write(" ".join(words) + "\n")
