"""Replays what a real scheduler decided, through the API server, scheduler and controllers.

`data/allocations.jsonl.gz` holds the recorded scenarios that use default gates and no extended resources,
binding conditions or evictions. Only inputs reach the components.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

RECORDS = Path(__file__).parent / "data" / "allocations.jsonl.gz"
WEIGHTS = (100, 40, 10, 3)


def records():
    with gzip.open(RECORDS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def pod_spec(pod):
    spec = {"tolerations": [{"operator": "Exists"}]}
    if pod.get("nodeSelector"):
        spec["nodeSelector"] = pod["nodeSelector"]
    if pod.get("prefer"):
        terms = [
            {
                "weight": weight,
                "preference": {
                    "matchExpressions": [
                        {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
                    ]
                },
            }
            for weight, node in zip(WEIGHTS, pod["prefer"], strict=False)
        ]
        affinity = {"preferredDuringSchedulingIgnoredDuringExecution": terms}
        spec["affinity"] = {"nodeAffinity": affinity}
    return spec


class Replay:
    """One recorded scenario in a fresh cluster."""

    def __init__(self, cluster, record) -> None:
        self.cluster = cluster
        self.record = record
        self.namespace = record.get("namespace") or "default"
        self.pods = {pod["name"]: pod for pod in record["pods"]}
        self.outcomes = iter(record["outcome"])

    async def run(self) -> str:
        """Where the outcome differs first, empty when it never does."""
        await self.set_up()
        steps = self.record.get("steps") or [{"create": name} for name in self.pods]
        for step in steps:
            action, subject = next((k, v) for k, v in step.items() if k != "after")
            outcome = next(self.outcomes)
            await getattr(self, f"step_{action}")(subject, outcome, step)
            await self.cluster.calm()
            if outcome.get("scheduled_node"):
                await self.cluster.clock.advance(1)  # A first try may have been for nothing.
                await self.cluster.calm()
            if "scheduled_node" in outcome and (difference := await self.differs(outcome)):
                return f"{step}: {difference}"
        return ""

    async def set_up(self) -> None:
        cluster, record = self.cluster, self.record
        if self.namespace != "default":
            label = {"resource.kubernetes.io/admin-access": "true"}
            await cluster.create("namespaces", self.namespace, labels=label)
        for node in record["nodes"]:
            await cluster.node(node["name"], **node["labels"])
        for item in record["deviceClasses"]:
            await cluster.create("deviceclasses", item["name"], item["spec"])
        for item in record["slices"]:
            await cluster.create("resourceslices", item["name"], item["spec"])
        for item in record.get("claimTemplates") or ():
            await self.make("resourceclaimtemplates", item)
        for item in record.get("claims") or ():
            claim = await self.make("resourceclaims", item)
            if item.get("status"):
                claim["metadata"]["finalizers"] = ["resource.kubernetes.io/delete-protection"]
                claim = await cluster.api.update("resourceclaims", claim)
                claim["status"] = item["status"]
                await cluster.api.update("resourceclaims", claim, "status")
        await cluster.calm()

    async def make(self, resource, item):
        return await self.cluster.create(
            resource, item["name"], item["spec"], namespace=self.namespace
        )

    async def step_create(self, name, outcome, _step) -> None:
        pod = self.pods[name]
        spec = pod_spec(pod)
        if "prefer" not in pod and outcome.get("scheduled_node"):
            # The real choice among equal nodes is random.
            spec["nodeSelector"] = {"kubernetes.io/hostname": outcome["scheduled_node"]}
        entries = pod.get("claims") or []
        spec |= {"containers": [{"name": "c", "image": "i"}], "resourceClaims": entries}
        await self.cluster.create("pods", name, spec, namespace=self.namespace)

    async def step_createTogether(self, names, outcome, step) -> None:  # noqa: N802 -- the record's word
        for name in names:
            await self.step_create(name, outcome if name == outcome["pod"] else {}, step)
        await self.cluster.calm()
        await self.differs(outcome)
        next(self.outcomes)

    async def step_deletePod(self, name, _outcome, _step) -> None:  # noqa: N802 -- the record's word
        await self.cluster.delete("pods", name, grace=0, namespace=self.namespace)

    async def step_check(self, _name, _outcome, step) -> None:
        await self.cluster.clock.advance(float(step["after"]))

    async def differs(self, outcome) -> str:
        pod = await self.cluster.get("pods", outcome["pod"], self.namespace)
        conditions = pod["status"].get("conditions", [])
        failed = [c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]
        decided = {
            "scheduled_node": pod["spec"].get("nodeName"),
            "reason": failed[0]["reason"] if failed else None,
            "unschedulable_message": failed[0]["message"] if failed else None,
            "claims": {},
        }
        statuses = pod["status"].get("resourceClaimStatuses", [])
        made = {status["name"]: status["resourceClaimName"] for status in statuses}
        for entry in pod["spec"].get("resourceClaims", []):
            name = entry.get("resourceClaimName")
            label = name or f"<{entry['name']} from template>"
            known_as = name or made[entry["name"]]
            if claim := await self.cluster.get("resourceclaims", known_as, self.namespace):
                decided["claims"][label] = projected(claim)
        wanted = {key: outcome[key] for key in decided}
        shares_hidden(wanted["claims"])
        return "" if decided == wanted else f"\nwant {wanted}\ngot  {decided}"


def projected(claim):
    status = claim.get("status", {})
    allocation = status.get("allocation")
    timestamp = allocation.pop("allocationTimestamp", None) if allocation else None
    found = {
        "allocation": allocation,
        "allocationTimestamp_set": timestamp is not None,
        "reservedFor": [consumer["name"] for consumer in status.get("reservedFor", [])],
        "finalizers": claim["metadata"].get("finalizers", []),
    }
    shares_hidden({"": found})
    return found


def shares_hidden(claims) -> None:
    for claim in claims.values():
        allocation = claim and claim["allocation"]
        for result in (allocation or {}).get("devices", {}).get("results", []):
            if "shareID" in result:
                result["shareID"] = "<share>"


@pytest.mark.timeout(240)
async def test_pods_and_claims_end_as_recorded_from_a_real_cluster(make_cluster):
    differences = {}
    found = records()
    for record in found:
        async with make_cluster() as cluster:
            if difference := await Replay(cluster, record).run():
                differences[record["id"]] = difference
    agreement = 1 - len(differences) / len(found)
    assert agreement >= 0.985, f"{agreement:.2%} of {len(found)}, different: {sorted(differences)}"
