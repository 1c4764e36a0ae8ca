"""Explains what a real scheduler was recorded to decide: same verdict, same words, and no refusal without a reason."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

from pydra_testbed.explain import Target, Verdict, World, explain, in_words
from pydra_testbed.explain.text import Limits
from pydra_testbed.explain.world import by_key

RECORDS = Path(__file__).parents[1] / "scheduler" / "data" / "allocations.jsonl.gz"

NO_DECISIONS = {
    "hand-226": "the decision fails when it is written: the allocation has no timestamp",
    "hand-243": "the pod has its device, and waits until that is ready",
    "hand2-079": "the search is bounded more tightly here",
}


def records():
    with gzip.open(RECORDS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def world_of(record, pod):
    namespace = record.get("namespace") or "default"

    for node in record["nodes"]:
        node["labels"]["kubernetes.io/hostname"] = node["name"]

    def bodies(kind, field, *, namespaced):
        for item in record.get(field) or ():
            metadata = {"name": item["name"], "uid": item["name"], "labels": item.get("labels", {})}
            metadata |= {"namespace": namespace} if namespaced else {}
            yield {"kind": kind, "metadata": metadata, **{k: item[k] for k in ("spec", "status") if item.get(k)}}  # fmt: skip

    spec = {"tolerations": [{"operator": "Exists"}], "nodeSelector": pod.get("nodeSelector") or {}}
    limits = {"resources": {"limits": pod["limits"]}} if pod.get("limits") else {}
    spec |= {"containers": [{"name": "c", **limits}], "resourceClaims": pod.get("claims") or []}
    metadata = {"name": pod["name"], "namespace": namespace, "uid": "pod"}
    subject = {"kind": "Pod", "metadata": metadata, "spec": spec}
    return World(
        by_key(bodies("Node", "nodes", namespaced=False)),
        by_key(bodies("ResourceSlice", "slices", namespaced=False)),
        by_key(bodies("DeviceClass", "deviceClasses", namespaced=False)),
        by_key(bodies("ResourceClaim", "claims", namespaced=True)),
        by_key(bodies("ResourceClaimTemplate", "claimTemplates", namespaced=True)),
        by_key([subject]),
    ), Target("pod", namespace, pod["name"])


def first_of(record):
    """The first pod and what became of it, where nothing else happened before."""
    if record.get("gates"):
        return None, None  # A world for explanations has the gates of a plain cluster.
    (action, name), *_ = (record.get("steps") or [{"create": record["pods"][0]["name"]}])[0].items()
    pod = next((p for p in record["pods"] if p["name"] == name), None)
    return (pod, record["outcome"][0]) if action == "create" and pod else (None, None)


def reasons(found):
    yield from found.obstacles
    for node in found.nodes:
        yield from node.obstacles
        for request in node.requests:
            yield from request.obstacles
            for device in request.devices:
                yield from device.obstacles


def difference(record, pod, outcome):
    world, target = world_of(record, pod)
    found = explain(target, world)
    text = in_words(found, Limits.none())
    if max(map(len, text.splitlines())) > 120:
        return f"a long line:\n{text}"
    is_fine = found.verdict in (Verdict.SATISFIABLE, Verdict.ALLOCATED)
    if is_fine != bool(outcome["scheduled_node"]):
        return f"{found.verdict}, recorded {outcome['scheduled_node']}:\n{text}"
    if is_fine:
        return ""
    message = outcome["unschedulable_message"]
    if (
        not found.obstacles
        and found.verdict is Verdict.UNSATISFIABLE
        and found.scheduler != message
    ):
        return f"said {found.scheduler!r}, recorded {message!r}"
    if found.verdict is Verdict.UNSATISFIABLE and not list(reasons(found)):
        return f"no reason:\n{text}"
    return ""


def test_every_recorded_decision_is_explained_with_its_verdict_and_a_reason():
    different, counts = {}, Counter()
    for record in records():
        pod, outcome = first_of(record)
        if pod is None or record["id"] in NO_DECISIONS:
            continue
        counts["all"] += 1
        counts["refused"] += not outcome["scheduled_node"]
        if what := difference(record, pod, outcome):
            different[record["id"]] = what
    assert counts["all"] > 500
    assert counts["refused"] > 100
    assert not different, f"{len(different)} of {counts}: " + "\n".join(
        f"{name}: {what}" for name, what in list(different.items())[:8]
    )
