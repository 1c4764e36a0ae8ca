"""The tutorial is executed: every command in it, in its order, with its output compared line by line.

A block that begins with ```console holds commands behind `$ ` and what they print. In the output, `…` stands for
anything within a line, a line that is only `…` for any lines. Blocks named `<!-- file: NAME -->` are files that
the reader writes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "packages" / "pydra-pizza" / "README.md"
_BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```", re.DOTALL
)
_EXIT = re.compile(r"\s+# exits with (\d)$")


@dataclass(frozen=True)
class Step:
    """One command of the tutorial: what it must print, and its exit code."""

    command: str
    output: str
    code: int


def chapters():
    """The tutorial's chapters by title: files and steps in their order."""
    text = TUTORIAL.read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    found = {
        title: list(_items(body)) for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    return {
        title: items for title, items in found.items() if any(isinstance(i, Step) for i in items)
    }


def _items(body):
    for match in _BLOCK.finditer(body):
        if match["file"]:
            yield match["file"], match["body"]
        elif match["kind"] == "console":
            yield from _steps(match["body"])


def _steps(body):
    for chunk in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, output = chunk.partition("\n")
        code = _EXIT.search(command)
        yield Step(_EXIT.sub("", command), output, int(code[1]) if code else 0)


def pattern(output):
    """A regular expression of the expected output, its elisions open."""
    lines = []
    for line in output.rstrip("\n").split("\n"):
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(
                r".*?".join(
                    re.escape(part.rstrip() if i else part)
                    for i, part in enumerate(line.split("…"))
                )
                + r"\n"
            )
    return re.compile("".join(lines) + r"\s*")


def run(command, folder):
    environ = {
        k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "NODE_NAME", "FORCE_COLOR")
    }
    environ |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "80",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )


def test_there_is_a_chapter_for_each_reader():
    assert len(chapters()) >= 3
    assert sum(isinstance(i, Step) for items in chapters().values() for i in items) >= 8


@pytest.mark.timeout(300)
@pytest.mark.parametrize("title", chapters())
def test_every_command_of_a_chapter_prints_what_the_tutorial_shows(title, tmp_path):
    for item in chapters()[title]:
        if not isinstance(item, Step):
            (tmp_path / item[0]).write_text(item[1])
            continue
        if item.command.startswith("cd "):
            tmp_path = tmp_path / item.command.removeprefix("cd ")
            continue
        done = run(item.command, tmp_path)
        shown = "\n".join(line.rstrip() for line in (done.stdout + done.stderr).splitlines()) + "\n"
        assert done.returncode == item.code, shown
        assert pattern(item.output).fullmatch(shown), f"$ {item.command}\n{shown}"
