"""Pages whose commands are executed: in their order, with what they print compared line by line.

A block that begins with ```console holds commands behind `$ ` and what they print. In the output, `…` stands for
anything within a line, a line that is only `…` for any lines. Blocks after `<!-- file: NAME -->` are files that
the reader writes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```", re.DOTALL
)
_EXIT = re.compile(r"\s+# exits with (\d)$")
_HIDDEN = ("KUBECONFIG", "NODE_NAME", "FORCE_COLOR")


@dataclass(frozen=True)
class Step:
    """One command of a page: what it must print, and its exit code."""

    command: str
    output: str
    code: int


def items(text):
    """Files (name and content) and steps of a text, in their order."""
    for match in _BLOCK.finditer(text):
        if match["file"]:
            yield match["file"], match["body"]
        elif match["kind"] == "console":
            yield from _steps(match["body"])


def _steps(body):
    for chunk in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, output = chunk.partition("\n")
        code = _EXIT.search(command)
        yield Step(_EXIT.sub("", command), output, int(code[1]) if code else 0)


def execute(found, folder):
    """Do what a page shows, in a folder of its own; asserts codes and outputs."""
    for item in found:
        if not isinstance(item, Step):
            file = folder / item[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(item[1])
            continue
        if item.command.startswith("cd "):
            folder = folder / item.command.removeprefix("cd ")
            continue
        done = _run(item.command, folder)
        shown = "\n".join(line.rstrip() for line in (done.stdout + done.stderr).splitlines()) + "\n"
        assert done.returncode == item.code, f"$ {item.command}\n{shown}"
        assert _pattern(item.output).fullmatch(shown), f"$ {item.command}\n{shown}"


def _pattern(output):
    """A regular expression of the expected output, its elisions open."""
    lines = []
    for line in output.rstrip("\n").split("\n"):
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            parts = (re.escape(p.rstrip() if i else p) for i, p in enumerate(line.split("…")))
            lines.append(r".*?".join(parts) + r"\n")
    return re.compile("".join(lines) + r"\s*")


def _run(command, folder):
    environ = {k: v for k, v in os.environ.items() if k not in _HIDDEN}
    programs = [str(Path(name).parent) for name in (sys.executable, environ.get("UV")) if name]
    path = os.pathsep.join([*programs, environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environ | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )
