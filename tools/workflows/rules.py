"""What every workflow of ours must be, whatever linters are at hand.

Pinned by digest, with the version for people; least rights, asked for by the job that needs them; nothing that others
write ever becomes part of a shell script; no credentials left in a checkout.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

RUNNERS = frozenset({"ubuntu-24.04", "ubuntu-24.04-arm"})
"""Machines by version: `-latest` changes under a release."""

_USES = re.compile(r"^\s*(?:- )?uses:\s*(?P<what>\S+)(?P<rest>.*)$")
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_VERSION = re.compile(r"\s+# v\d+\.\d+\.\d+")
_IMAGE = re.compile(r"^\s*(?!(?:- )?uses)[\w-]+:\s+([a-z0-9.-]+(?:/[\w.-]+)+[:@][^\s\"']+)\s*$")
"""A value that names an image, by a path with a tag or a digest."""
_IMAGE_PIN = re.compile(r"@sha256:[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow: its path as it is shown, its text, and what YAML makes of it."""

    path: str
    text: str
    body: Mapping[Any, Any]

    @property
    def jobs(self) -> Mapping[str, Mapping[str, Any]]:
        """The jobs by name."""
        found: Mapping[str, Mapping[str, Any]] = self.body.get("jobs", {})
        return found

    def steps(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """All steps, each with a name to find it by."""
        for name, job in self.jobs.items():
            for number, step in enumerate(job.get("steps", ()), 1):
                yield f"{name}: step {number}", step


def read(path: Path, root: Path) -> Workflow:
    """Read a workflow."""
    text = path.read_text(encoding="utf-8")
    return Workflow(str(path.relative_to(root)), text, yaml.safe_load(text))


def faults(workflow: Workflow) -> Iterator[str]:
    """Say which rules a workflow breaks, each with its place."""
    for rule in _RULES:
        for fault in rule(workflow):
            yield f"{workflow.path}: {fault}"


def pins(workflow: Workflow) -> Iterator[tuple[str, str]]:
    """Yield each action of others with what follows its `@`, version included."""
    for line in workflow.text.splitlines():
        match = _USES.match(line)
        if match and not match["what"].startswith("./"):
            action, _, pin = match["what"].partition("@")
            yield action, f"{pin}{match['rest']}"


def _pinned(workflow: Workflow) -> Iterator[str]:
    for number, line in enumerate(workflow.text.splitlines(), 1):
        match = _USES.match(line)
        if not match or match["what"].startswith("./"):
            continue
        if not _PINNED.fullmatch(match["what"]):
            yield f"line {number}: {match['what']} must be pinned by the 40 digits of a commit"
        elif not _VERSION.fullmatch(match["rest"]):
            yield f"line {number}: {match['what']} needs its version behind it, as ` # v1.2.3`"


def _images(workflow: Workflow) -> Iterator[str]:
    for number, line in enumerate(workflow.text.splitlines(), 1):
        match = _IMAGE.match(line)
        if match and not _IMAGE_PIN.search(match[1]):
            yield f"line {number}: image {match[1]} must be pinned by digest"


def _rights(workflow: Workflow) -> Iterator[str]:
    if workflow.body.get("permissions") != {}:
        yield "must begin with `permissions: {}`; each job asks for its own"
    for name, job in workflow.jobs.items():
        if not isinstance(job.get("permissions"), dict):
            yield f"{name}: needs `permissions`, one right a line"


def _machines(workflow: Workflow) -> Iterator[str]:
    for name, job in workflow.jobs.items():
        if job.get("runs-on") not in RUNNERS:
            yield f"{name}: runs-on {job.get('runs-on')!r} is none of {sorted(RUNNERS)}"
        if "timeout-minutes" not in job:
            yield f"{name}: needs `timeout-minutes`: a job that hangs costs six hours"


def _scripts(workflow: Workflow) -> Iterator[str]:
    if workflow.body.get("defaults") != {"run": {"shell": "bash"}}:
        yield "needs `defaults: {run: {shell: bash}}`: only so a pipe fails with its first command"
    for place, step in workflow.steps():
        if "${{" in step.get("run", ""):
            yield f"{place}: a script must get values through `env`, not by ${{{{ }}}}"


def _checkouts(workflow: Workflow) -> Iterator[str]:
    for place, step in workflow.steps():
        if not step.get("uses", "").startswith("actions/checkout@"):
            continue
        if step.get("with", {}).get("persist-credentials") is not False:
            yield f"{place}: a checkout needs `persist-credentials: false`"


def _triggers(workflow: Workflow) -> Iterator[str]:
    on = workflow.body.get("on", workflow.body.get(True, {}))  # YAML 1.1 reads `on` as true
    if "pull_request_target" in on or "workflow_run" in on:
        yield "must not run with the repository's rights on what strangers propose"


_RULES: tuple[Callable[[Workflow], Iterator[str]], ...] = (
    _pinned,
    _images,
    _rights,
    _machines,
    _scripts,
    _checkouts,
    _triggers,
)
