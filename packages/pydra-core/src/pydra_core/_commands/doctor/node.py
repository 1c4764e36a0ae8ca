"""The node object: does it exist under the name we use, and what does its kubelet say of itself?

A node's name is what the kubelet registered: on many clouds neither the hostname nor in its case or domain.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok, skipped
from pydra_core._commands.doctor.server import Answer, NoAnswerError, Server, connect
from pydra_core._commands.doctor.subject import Subject
from pydra_core.errors import ConfigError

DOWNWARD = "env:\n- name: NODE_NAME\n  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}"
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)")
_SERVES_DRA, _HAS_DRA = (1, 34), (1, 32)
_OK, _NOT_FOUND = 200, 404
_NODES = "/api/v1/nodes/"


async def look(subject: Subject, server: Server) -> Sequence[Result]:
    """The node's name, then the version of its kubelet."""
    name = subject.settings.node_name
    if not name:
        fix = f"set it from the downward API:\n{DOWNWARD}"
        return [finding(Finding.NODE_NAME, "node: name", "NODE_NAME is not set", fix)]
    try:
        answer = await server.ask(_NODES + quote(name, safe=""))
        if answer.status == _NOT_FOUND:
            return [await _unknown(name, server)]
    except NoAnswerError as err:
        return [
            finding(
                Finding.API_SLOW,
                "node: name",
                f"{name}: {err}",
                "look at the API server's log and load",
            )
        ]
    if answer.status != _OK:
        return [
            skipped("node: name", f"{name}: answered with {answer.status}; see rbac: get nodes")
        ]
    return [ok("node: name", f"node {name} exists"), _kubelet(answer)]


async def runtime_of(subject: Subject) -> str:
    """What the node object says of its container runtime, empty if it cannot be had."""
    if not subject.settings.node_name:
        return ""
    try:
        async with connect(subject) as server:
            answer = await server.ask(_NODES + quote(subject.settings.node_name, safe=""))
    except (ConfigError, NoAnswerError):
        return ""
    return answer.text("status", "nodeInfo", "containerRuntimeVersion")


async def _unknown(name: str, server: Server) -> Result:
    """No such node: try the names people take for it."""
    for other in _look_alikes(name):
        if (await server.ask(_NODES + quote(other, safe=""))).status == _OK:
            seen = f"there is no node {name}, but there is {other}"
            fix = f"set NODE_NAME={other}, better from the downward API:\n{DOWNWARD}"
            return finding(Finding.NODE_NAME, "node: name", seen, fix)
    seen = f"there is no node {name}"
    return finding(
        Finding.NODE_NAME,
        "node: name",
        seen,
        f"take the name from the downward API, not the hostname:\n{DOWNWARD}",
    )


def _look_alikes(name: str) -> Iterator[str]:
    host = platform.node()
    candidates = (
        name.lower(),
        name.lower().partition(".")[0],
        host,
        host.lower().partition(".")[0],
    )
    yield from dict.fromkeys(c for c in candidates if c and c != name)


def _kubelet(answer: Answer) -> Result:
    check, text = "node: kubelet", answer.text("status", "nodeInfo", "kubeletVersion")
    numbers = _NUMBERS.match(text)
    if not numbers:
        return skipped(check, "the node does not say which kubelet runs on it")
    version = (int(numbers[1]), int(numbers[2]))
    if version >= _SERVES_DRA:
        return ok(check, text)
    if version >= _HAS_DRA:
        fix = "upgrade the kubelet to 1.34 or newer, or start it with --feature-gates=DynamicResourceAllocation=true"
        return finding(
            Finding.NODE_KUBELET,
            check,
            f"{text}: Dynamic Resource Allocation is off by default",
            fix,
        )
    return finding(
        Finding.NODE_KUBELET,
        check,
        f"{text}: does not speak this driver's API",
        "upgrade the kubelet to 1.34 or newer",
    )
