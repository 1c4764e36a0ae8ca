"""The pod or claim that is asked about: found, joined with its claims, and checked before any node is.

A claim is judged through a stand-in pod that wants nothing but this claim. Claims that the claim controller has
not made yet are made here from their templates, so that the question can be answered all the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches

from pydra_core.errors import ConfigError
from pydra_testbed.controllers.podclaims import (
    ANNOTATION,
    claim_from_template,
    controller_uid,
    entries,
    statuses,
)
from pydra_testbed.explain.model import Kind, Obstacle
from pydra_testbed.explain.world import Objects, World
from pydra_testbed.objects import KubeObject, key_of, name_of, namespace_of, uid_of
from pydra_testbed.scheduler.podclaims import is_for_pod


class UnknownObjectError(ConfigError):
    """Nothing of that name is there; the text lists what is."""

    reason = "UnknownObject"


@dataclass(frozen=True, slots=True)
class Target:
    """What to explain: `kind` is pod or claim."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Member:
    """One claim of the subject; `template` where it comes from, not `is_made` if only from there."""

    claim: KubeObject
    template: str = ""
    is_made: bool = True


@dataclass(frozen=True, slots=True)
class Subject:
    """A pod with its claims, in a world that has them; `obstacles` stand before all nodes."""

    target: Target
    pod: KubeObject
    members: tuple[Member, ...]
    obstacles: tuple[Obstacle, ...]
    world: World


def find(target: Target, world: World) -> Subject:
    """Find the target and its claims.

    Raises:
        UnknownObjectError: there is no such pod or claim.
    """
    key = f"{target.namespace}/{target.name}"
    if target.kind == "claim":
        claim = _object(target, world.claims, key)
        member = Member(claim, (claim["metadata"].get("annotations") or {}).get(ANNOTATION, ""))
        return Subject(target, _stand_in(claim), (member,), (), world)
    pod = copy.deepcopy(_object(target, world.pods, key))
    members: list[Member] = []
    obstacles: list[Obstacle] = []
    for entry in entries(pod):
        found = _resolve(pod, entry, world)
        if isinstance(found, Obstacle):
            obstacles.append(found)
        elif found is not None:
            members.append(found)
    made = {key_of(m.claim): m.claim for m in members if not m.is_made}
    world = replace(world, claims={**world.claims, **made}, pods={**world.pods, key: pod})
    return Subject(target, pod, tuple(members), tuple(obstacles), world)


def _object(target: Target, objects: Objects, key: str) -> KubeObject:
    if key in objects:
        return objects[key]
    names = [
        other.partition("/")[2] for other in objects if other.startswith(f"{target.namespace}/")
    ]
    known = ", ".join(sorted(names)) or "none"
    raise UnknownObjectError(
        f"{target}: not found; {target.kind}s in namespace {target.namespace}: {known}",
        key=target.kind,
        source="command line",
    )


def _stand_in(claim: KubeObject) -> KubeObject:
    entry = {"name": "claim", "resourceClaimName": name_of(claim)}
    return {
        "metadata": {
            "name": f"whoever uses {name_of(claim)}",
            "namespace": namespace_of(claim),
            "uid": "stand-in",
        },
        "spec": {"containers": [], "resourceClaims": [entry]},
    }


def _resolve(pod: KubeObject, entry: KubeObject, world: World) -> Member | Obstacle | None:
    """The claim of one entry, what is wrong with it, or None where none is needed."""
    name = entry["name"]
    if entry.get("resourceClaimName"):
        return _named(pod, str(entry["resourceClaimName"]), world)
    template = str(entry.get("resourceClaimTemplateName"))
    noted = [status for status in statuses(pod) if status["name"] == name]
    if noted and not noted[0].get("resourceClaimName"):
        return None
    if noted:
        found = _named(pod, str(noted[0]["resourceClaimName"]), world)
        return found if isinstance(found, Obstacle) else _from(pod, found.claim, template)
    for claim in world.claims.values():
        annotations = claim["metadata"].get("annotations") or {}
        if controller_uid(claim) == uid_of(pod) and annotations.get(ANNOTATION) == name:
            _note(pod, name, claim)
            return Member(claim, template)
    return _made_here(pod, name, template, world)


def _named(pod: KubeObject, name: str, world: World) -> Member | Obstacle:
    key = f"{namespace_of(pod)}/{name}"
    if key in world.claims:
        return Member(world.claims[key])
    text = f"claim {key} does not exist{_close(key, world.claims)}"
    return Obstacle(Kind.NO_CLAIM, text, "create it: the pod waits until then")


def _from(pod: KubeObject, claim: KubeObject, template: str) -> Member | Obstacle:
    if is_for_pod(claim, pod):
        return Member(claim, template)
    text = f"claim {key_of(claim)} was not made for this pod"
    return Obstacle(Kind.FOREIGN_CLAIM, text, "delete the pod and create it again")


def _made_here(pod: KubeObject, entry: str, template: str, world: World) -> Member | Obstacle:
    key = f"{namespace_of(pod)}/{template}"
    body = world.templates.get(key)
    if body is None:
        text = f"template {key} does not exist{_close(key, world.templates)}"
        return Obstacle(Kind.NO_TEMPLATE, text, "create it: the pod waits until then")
    claim = claim_from_template(pod, entry, body)
    name = str(claim["metadata"].pop("generateName")).rstrip("-")
    claim["metadata"] |= {"name": name, "namespace": namespace_of(pod), "uid": f"claim-{entry}"}
    _note(pod, entry, claim)
    return Member(claim, template, is_made=False)


def _note(pod: KubeObject, entry: str, claim: KubeObject) -> None:
    """What the claim controller would write into the pod's status."""
    made = {"name": entry, "resourceClaimName": name_of(claim)}
    pod.setdefault("status", {}).setdefault("resourceClaimStatuses", []).append(made)


def _close(key: str, objects: Objects) -> str:
    found = get_close_matches(key, objects, n=1, cutoff=0.8)
    return f"; did you mean {found[0]}?" if found else ""


def users(claim: KubeObject, world: World) -> Iterator[str]:
    """The pods that name a claim."""
    for key, pod in world.pods.items():
        names = [e.get("resourceClaimName") for e in (*entries(pod), *statuses(pod))]
        if namespace_of(pod) == namespace_of(claim) and name_of(claim) in names:
            yield key
