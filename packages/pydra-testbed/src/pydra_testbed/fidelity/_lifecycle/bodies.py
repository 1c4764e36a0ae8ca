"""What the clients of a record sent. A record names its actions but not every body: this fills the gaps.

From the set-up (templates, classes, the node), the record's note, and for what only shows in it, from the first
event of the object itself: a node or finalizers given by the client, the status a client put. What is taken from
an event says nothing about that one event then; all that follows from it is still the testbed's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydra_testbed.fidelity.model import Record
from pydra_testbed.objects import KubeObject

_NAMESPACE = re.compile(r"(?:assigned|claim) ([a-z0-9-]+)/")
_SECONDS = re.compile(r"tolerationSeconds (\d+)")
_ENTRY = "resource.kubernetes.io/pod-claim-name"
_EXTENDED = "resource.kubernetes.io/extended-resource-claim"


@dataclass(frozen=True, slots=True)
class Step:
    """One client action: seconds since the first, and its text."""

    at: float
    text: str


class Story:
    """One record's inputs."""

    def __init__(self, record: Record) -> None:
        self.setup: KubeObject = record["setup"]
        self.note = str(record["note"])
        self.timeline: list[KubeObject] = list(record["timeline"])
        places = [i for i, entry in enumerate(self.timeline) if entry["actor"] == "client"]
        self.actions = [Step(self.timeline[i]["t"], self.timeline[i]["action"]) for i in places]
        self._places = places
        texts = [str(e["message"]) for e in self.timeline if e.get("kind") == "Event"]
        found = [match.group(1) for text in texts if (match := _NAMESPACE.search(text))]
        self.namespace = found[0] if found else "lifecycle"

    def pod(self, name: str, number: int) -> KubeObject:
        """A pod with one container that uses every claim there is for it."""
        spec: KubeObject = {
            "containers": [self._container()],
            "resourceClaims": self._claims(number),
        }
        first = self.next_event(number, "Pod", "ADDED")
        if first.get("nodeName"):
            spec["nodeName"] = first["nodeName"]
        if "another schedulerName" in self.note:
            spec["schedulerName"] = "another-scheduler"
        return {"metadata": {"name": name}, "spec": spec}

    def job(self, name: str) -> KubeObject:
        """A Job for as many pods as run at first, each of which has to succeed."""
        statuses = [e.get("status") or {} for e in self.timeline if e.get("kind") == "Job"]
        pods = next((status["active"] for status in statuses if "active" in status), 1)
        spec = {
            "containers": [self._container()],
            "resourceClaims": self._claims(0),
            "restartPolicy": "Never",
        }
        work = {"parallelism": pods, "completions": pods, "template": {"spec": spec}}
        return {"metadata": {"name": name}, "spec": work}

    def claim(self, name: str, number: int) -> KubeObject:
        """A claim for one device; more than there are when the note says that it cannot be had."""
        exactly: KubeObject = {"deviceClassName": self.setup["deviceClasses"][0]["name"]}
        if "unschedulable" in self.note and self._is_first(number):
            devices = [d for s in self.setup["slices"] for d in s["spec"]["devices"]]
            exactly["count"] = len(devices) + 1
        if match := _SECONDS.search(self.note):
            toleration = {"operator": "Exists", "effect": "NoExecute"}
            exactly["tolerations"] = [toleration | {"tolerationSeconds": int(match.group(1))}]
        metadata: KubeObject = {"name": name}
        first = self.next_event(number, "ResourceClaim", "ADDED")
        if first.get("finalizers"):
            metadata["finalizers"] = first["finalizers"]
        request = {"name": "r", "exactly": exactly}
        return {"metadata": metadata, "spec": {"devices": {"requests": [request]}}}

    def put_status(self, claim: KubeObject, number: int, now: str) -> KubeObject:
        """The status that a third party put on a claim."""
        seen = self.next_event(number, "ResourceClaim", "MODIFIED")
        spec = self.setup["slices"][0]["spec"]
        known = (claim.get("status") or {}).get("allocation")
        where = {"key": "metadata.name", "operator": "In", "values": [self.setup["node"]]}
        allocation: KubeObject = known or {
            "devices": {
                "results": [
                    {
                        "request": "r",
                        "driver": spec["driver"],
                        "pool": spec["pool"]["name"],
                        "device": device,
                    }
                    for device in seen["allocated"] or ()
                ]
            },
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [where]}]},
        }
        if "without allocationTimestamp" not in self.note:
            allocation.setdefault("allocationTimestamp", now)
        reserved = (claim.get("status") or {}).get("reservedFor") or []
        names = {consumer["name"] for consumer in reserved}
        added = [c for c in seen.get("reservedFor") or () if c["name"] not in names]
        status = {"allocation": allocation}
        return status | ({"reservedFor": [*reserved, *added]} if reserved or added else {})

    def deletion(self, number: int) -> tuple[int | None, str]:
        """Grace period and propagation of a deletion whose text names neither."""
        seen = self.next_event(number, "Pod", "MODIFIED")
        policies = {"foregroundDeletion": "Foreground", "orphan": "Orphan"}
        for finalizer in seen.get("finalizers") or ():
            if finalizer in policies:
                return seen["deletionGracePeriodSeconds"], policies[finalizer]
        return None, ""

    def next_event(self, number: int, kind: str, event: str) -> KubeObject:
        """The first event of that sort after an action, empty when there is none."""
        later = self.timeline[self._places[number] :]
        return next((e for e in later if (e.get("kind"), e.get("event")) == (kind, event)), {})

    def _container(self) -> KubeObject:
        container: KubeObject = {"name": "c", "image": "i"}
        for device_class in self.setup["deviceClasses"]:
            if name := device_class["spec"].get("extendedResourceName"):
                container["resources"] = {"limits": {name: "1"}}
        return container

    def _claims(self, number: int) -> list[KubeObject]:
        templates = self.setup.get("claimTemplates") or ()
        if templates:
            names = dict.fromkeys(self._entry_names()) or {"a": None}
            return [
                {"name": name, "resourceClaimTemplateName": templates[0]["name"]} for name in names
            ]
        words = [step.text.split() for step in self.actions[:number]]
        made = dict.fromkeys(w[2] for w in words if w[:2] == ["create", "ResourceClaim"])
        return [{"name": f"e{i}", "resourceClaimName": name} for i, name in enumerate(made)]

    def _entry_names(self) -> Iterator[str]:
        for entry in self.timeline:
            annotations: dict[str, Any] = entry.get("annotations") or {}
            if _ENTRY in annotations and _EXTENDED not in annotations:
                yield annotations[_ENTRY]

    def _is_first(self, number: int) -> bool:
        return not any(
            step.text.startswith("create ResourceClaim") for step in self.actions[:number]
        )
