"""Asks the API server for each right a driver uses, and tells the rule to add for each it lacks.

Rests on `SelfSubjectAccessReview` (authorization.k8s.io/v1): it asks about whoever asks, needs no right itself and
stores nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok, skipped
from pydra_core._commands.doctor.rights import Right
from pydra_core._commands.doctor.server import NoAnswerError, Server

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_CREATED = (200, 201)
_NO_REVIEWS = (404, 405)


async def look(
    server: Server, rights: Sequence[Right], version: tuple[int, int]
) -> Sequence[Result]:
    """Ask about all rights at once; one row for all if this server does not answer such questions.

    Args:
        server: whom to ask.
        rights: what for.
        version: of the server, as major and minor number.
    """
    now = [right for right in rights if version >= right.since]
    results = await asyncio.gather(*(_review(server, right) for right in now))
    if all(result is None for result in results):
        return [skipped("rbac", "this API server does not answer access reviews")]
    later = [_later(right) for right in rights if version < right.since]
    return [*(result for result in results if result), *later]


def _later(right: Right) -> Result:
    return skipped(right.check, f"needed from Kubernetes {'.'.join(map(str, right.since))} on")


async def _review(server: Server, right: Right) -> Result | None:
    """One right; None if the server knows no access reviews."""
    result = await _asked(server, right, right.verb)
    if result and result.finding is Finding.API_RIGHTS and right.instead:
        other = await _asked(server, right, right.instead)
        if other and other.finding is None:
            return other
    return result


async def _asked(server: Server, right: Right, verb: str) -> Result | None:
    check = right.check
    try:
        answer = await server.ask(_REVIEWS, _question(right, verb))
    except NoAnswerError as err:
        seen = f"access review: {err}"
        return finding(Finding.API_SLOW, check, seen, "look at the API server's log and load")
    if answer.status in _NO_REVIEWS:
        return None
    status = answer.body.get("status")
    allowed = status.get("allowed") if isinstance(status, dict) else None
    if answer.status not in _CREATED or not isinstance(allowed, bool):
        return skipped(check, f"the access review was answered with {answer.status} and no verdict")
    if allowed:
        return ok(check, f"allowed; for {right.feature}")
    why = answer.text("status", "reason")
    seen = f"denied{f': {why}' if why else ''}; {right.feature} needs it"
    fix = f"add to the {right.role} of the driver's service account:\n{right.rule}"
    return finding(Finding.API_RIGHTS, check, seen, fix)


def _question(right: Right, verb: str) -> dict[str, object]:
    resource, _, subresource = right.resource.partition("/")
    attributes = {"group": right.group, "resource": resource, "verb": verb}
    attributes |= {"subresource": subresource} if subresource else {}
    attributes |= {"name": right.name} if right.name else {}
    attributes |= {"namespace": right.namespace} if right.namespace else {}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
