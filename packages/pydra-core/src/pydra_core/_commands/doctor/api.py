"""The API server: configured, reachable, new enough, of one mind with this node about the time.

Runs the checks of tokens, rights and the node object too, because none of them makes sense without an answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from pydra_core._api import access
from pydra_core._commands.doctor import bearer, legacy, node, reviews, rights
from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok, skipped
from pydra_core._commands.doctor.server import Answer, NoAnswerError, Server, connect
from pydra_core._commands.doctor.subject import Subject
from pydra_core.errors import ConfigError

_LEAST, _NEWEST = (1, 34), (9999, 0)
_SKEW = 10.0
"""Seconds of difference that matter: the Date header counts whole ones, tokens and leases tolerate few."""
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)")
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_GROUP = "/apis/resource.k8s.io"


async def look(subject: Subject) -> Sequence[Result]:
    """Everything that is asked of the API server."""
    try:
        async with connect(subject) as server:
            return legacy.excused(subject, await _examine(subject, server))
    except ConfigError as err:
        seen, _, fix = str(err).rpartition("; ")
        return [finding(Finding.API_ACCESS, "api: access", seen, fix)]


async def _examine(subject: Subject, server: Server) -> Sequence[Result]:
    token = bearer.look(subject, server)
    try:
        answer = await server.ask("/version")
    except NoAnswerError as err:
        return [_unreachable(server, err), *token]
    if answer.status == _UNAUTHORIZED:
        return [_unauthorized(server), *token, _clock(answer)]
    group, allowed, known = await asyncio.gather(
        _resource_api(server),
        reviews.look(server, _rights(subject), _numbers(answer)),
        _nothing() if subject.cluster else node.look(subject, server),
    )
    return [_version(server, answer), group, *token, _clock(answer), *allowed, *known]


async def _nothing() -> Sequence[Result]:
    return ()


def _rights(subject: Subject) -> Sequence[rights.Right]:
    if subject.cluster:
        namespace = subject.settings.lease_namespace or access.own_namespace()
        return rights.rights_to_publish(subject.driver, namespace)
    return rights.rights_of(subject.driver)


def _unreachable(server: Server, err: NoAnswerError) -> Result:
    text = str(err)
    if "CERTIFICATE" in text.upper():
        fix = "use the cluster's own CA (certificate-authority in the kubeconfig, ca.crt of the service account)"
    else:
        fix = (
            f"make {server.url} reachable from this node: check address, firewall and network policies,"
            f" for example with `curl -k {server.url}/version`"
        )
    return finding(Finding.API_UNREACHABLE, "api: server", f"{server.url}: {text}", fix)


def _unauthorized(server: Server) -> Result:
    seen = f"{server.url}: 401, the token is not accepted"
    fix = "use a token of this cluster: in a pod, the service account's; outside, `kubectl create token`"
    return finding(Finding.API_TOKEN, "api: server", seen, fix)


def _version(server: Server, answer: Answer) -> Result:
    text = answer.text("gitVersion")
    if answer.status != _OK or not _NUMBERS.match(text):
        return skipped("api: server", f"{server.url}: answers {answer.status} and names no version")
    if _numbers(answer) < _LEAST:
        fix = "upgrade the cluster to Kubernetes 1.34 or newer: resource.k8s.io/v1 begins there"
        return finding(Finding.API_VERSION, "api: server", f"{server.url}: Kubernetes {text}", fix)
    return ok("api: server", f"{server.url}: Kubernetes {text}")


def _numbers(answer: Answer) -> tuple[int, int]:
    """The server's version; one that says none is taken for the newest, which asks for the most."""
    numbers = _NUMBERS.match(answer.text("gitVersion"))
    return (int(numbers[1]), int(numbers[2])) if numbers else _NEWEST


async def _resource_api(server: Server) -> Result:
    check = "api: resource.k8s.io/v1"
    try:
        answer = await server.ask(_GROUP)
    except NoAnswerError as err:
        return finding(
            Finding.API_SLOW, check, f"{_GROUP}: {err}", "look at the API server's log and load"
        )
    if answer.status == _NOT_FOUND:
        fix = (
            "upgrade to Kubernetes 1.34 or newer, where Dynamic Resource Allocation is on; on 1.34+ remove"
            " resource.k8s.io from the API server's --runtime-config"
        )
        return finding(Finding.API_GROUP, check, f"{_GROUP} is not served", fix)
    if answer.status != _OK:
        fix = "let the driver's service account discover APIs (ClusterRole system:discovery)"
        return finding(Finding.API_GROUP, check, f"{_GROUP}: answers {answer.status}", fix)
    versions = _versions(answer)
    if "v1" in versions:
        return ok(check, f"served: {', '.join(versions)}")
    fix = "upgrade the cluster to Kubernetes 1.34 or newer: this driver speaks v1 alone"
    return finding(
        Finding.API_GROUP, check, f"served: {', '.join(versions) or 'no version'}; v1 is not", fix
    )


def _versions(answer: Answer) -> list[str]:
    entries = answer.body.get("versions")
    found = (
        [e.get("version") for e in entries if isinstance(e, dict)]
        if isinstance(entries, list)
        else []
    )
    return [version for version in found if isinstance(version, str)]


def _clock(answer: Answer) -> Result:
    """Compare with the Date header: it was written between the two moments we know."""
    try:
        date = parsedate_to_datetime(answer.date)
        theirs = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return skipped("api: clock", "the API server sends no Date header")
    skew = (answer.asked + answer.told) / 2 - theirs
    if abs(skew) <= _SKEW:
        return ok("api: clock", f"within {_SKEW:g} s of the API server's")
    direction = "ahead of" if skew > 0 else "behind"
    seen = f"this node is {abs(skew):.0f} s {direction} the API server: tokens and leases go by the clock"
    fix = "set the clock: `timedatectl set-ntp true`, or `chronyc makestep` where chrony runs"
    return finding(Finding.API_CLOCK, "api: clock", seen, fix)
