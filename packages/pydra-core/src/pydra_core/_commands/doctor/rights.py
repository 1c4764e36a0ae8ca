"""Every right this driver uses, asked of the API server one by one, with the rule to add for each it lacks.

What is asked for depends on what the driver does: one that watches no health writes no status. Rests on
`SelfSubjectAccessReview` (authorization.k8s.io/v1): it asks about whoever asks, needs no right itself and stores
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok, skipped
from pydra_core._commands.doctor.server import NoAnswerError, Server
from pydra_core.driver import Driver

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_CREATED = (200, 201)
_NO_REVIEWS = (404, 405)
_GROUP = "resource.k8s.io"
_FINER = (1, 36)
"""From here on a driver's entries in a claim's status need a right of their own (KEP-4817)."""
_HERE, _ANYWHERE = "associated-node:patch", "arbitrary-node:patch"
PREPARE, SLICES, EVENTS, STATUS = (
    "preparing claims",
    "publishing slices",
    "telling the operator by events",
    "telling claims of their devices' health",
)
"""The features that need rights; a driver has the last one if it implements `watch_health`."""


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, and the feature that needs it.

    Attributes:
        group: The API group; the core group is the empty text.
        resource: Also with a subresource, like `resourceclaims/status`.
        name: Of one object; empty for all.
        instead: Another verb that does as well.
        since: The Kubernetes version that first asks for it.
    """

    group: str
    resource: str
    verb: str
    feature: str
    name: str = ""
    instead: str = ""
    since: tuple[int, int] = (0, 0)

    @property
    def check(self) -> str:
        """The row of the table."""
        return f"rbac: {self.verb} {self.resource}"

    @property
    def rule(self) -> str:
        """The rule for a ClusterRole, as YAML."""
        group = self.group or '""'
        names = f"\n  resourceNames: [{self.name}]" if self.name else ""
        return f"- apiGroups: [{group}]\n  resources: [{self.resource}]{names}\n  verbs: ['{self.verb}']"


RIGHTS = (
    Right(_GROUP, "resourceclaims", "get", PREPARE),
    *(
        Right(_GROUP, "resourceslices", verb, SLICES)
        for verb in ("list", "watch", "create", "update", "delete")
    ),
    Right("", "nodes", "get", SLICES),
    *(Right("", "events", verb, EVENTS) for verb in ("create", "patch")),
)
"""What every driver uses: it reads claims one by one, keeps its slices, and reads its node's UID."""


def rights_of(driver: type[Driver]) -> tuple[Right, ...]:
    """All that this driver uses."""
    if driver.watch_health is Driver.watch_health:
        return RIGHTS
    status = Right(_GROUP, "resourceclaims/status", "patch", STATUS)
    anywhere = Right(
        _GROUP, "resourceclaims/driver", _ANYWHERE, STATUS, name=driver.name, since=_FINER
    )
    if driver.cluster_pools is not Driver.cluster_pools:  # their claims are bound to no node
        return (*RIGHTS, status, anywhere)
    return (*RIGHTS, status, replace(anywhere, verb=_HERE, instead=_ANYWHERE))


async def look(server: Server, driver: type[Driver], version: tuple[int, int]) -> Sequence[Result]:
    """Ask about all rights at once; one row for all if this server does not answer such questions.

    Args:
        server: whom to ask.
        driver: whose rights.
        version: of the server, as major and minor number.
    """
    rights = rights_of(driver)
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
    fix = f"add to the ClusterRole of the driver's service account:\n{right.rule}"
    return finding(Finding.API_RIGHTS, check, seen, fix)


def _question(right: Right, verb: str) -> dict[str, object]:
    resource, _, subresource = right.resource.partition("/")
    attributes = {"group": right.group, "resource": resource, "verb": verb}
    attributes |= {"subresource": subresource} if subresource else {}
    attributes |= {"name": right.name} if right.name else {}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
