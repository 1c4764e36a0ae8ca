"""Every right the driver uses, asked of the API server one by one, with the rule to add for each it lacks.

Rests on `SelfSubjectAccessReview` (authorization.k8s.io/v1): it asks about whoever asks, needs no right itself
and stores nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pydra_core._commands.doctor.results import Result, finding, ok, skipped
from pydra_core._commands.doctor.server import NoAnswerError, Server

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_CREATED = (200, 201)
_NO_REVIEWS = (404, 405)
_GROUP = "resource.k8s.io"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource; the core group is the empty text."""

    group: str
    resource: str
    verb: str

    @property
    def rule(self) -> str:
        """The rule for a ClusterRole, as YAML."""
        group = self.group or '""'
        return f"- apiGroups: [{group}]\n  resources: [{self.resource}]\n  verbs: [{self.verb}]"


RIGHTS = (
    Right(_GROUP, "resourceclaims", "get"),
    *(
        Right(_GROUP, "resourceslices", verb)
        for verb in ("get", "list", "watch", "create", "update", "patch", "delete")
    ),
    Right("", "nodes", "get"),
)
"""All a driver needs: it reads claims one by one, keeps its slices, and reads its node's UID."""


async def look(server: Server) -> Sequence[Result]:
    """Ask about all rights at once; one row for all if this server does not answer such questions."""
    results = await asyncio.gather(*(_review(server, right) for right in RIGHTS))
    if all(result is None for result in results):
        return [skipped("rbac", "this API server does not answer access reviews")]
    return [result for result in results if result]


async def _review(server: Server, right: Right) -> Result | None:
    """One right; None if the server knows no access reviews."""
    check = f"rbac: {right.verb} {right.resource}"
    attributes = {"group": right.group, "resource": right.resource, "verb": right.verb}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        answer = await server.ask(_REVIEWS, body)
    except NoAnswerError as err:
        return finding(check, f"access review: {err}", "look at the API server's log and load")
    if answer.status in _NO_REVIEWS:
        return None
    status = answer.body.get("status")
    allowed = status.get("allowed") if isinstance(status, dict) else None
    if answer.status not in _CREATED or not isinstance(allowed, bool):
        return skipped(check, f"the access review was answered with {answer.status} and no verdict")
    if allowed:
        return ok(check, "allowed")
    why = answer.text("status", "reason")
    fix = f"add to the ClusterRole of the driver's service account:\n{right.rule}"
    return finding(check, f"denied{f': {why}' if why else ''}", fix)
