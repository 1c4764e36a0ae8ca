"""Pods that ask for a number of an extended resource, on a testbed: what they got, by the kubelet's own word."""

from __future__ import annotations

import json
import sys

import legacy_world

from pydra_core._legacy.podresources import PodResources

HASTY = [
    sys.executable,
    "-c",
    """
from pydra_core._legacy import releasing
from pydra_pizza import main
releasing.GRACE, releasing.APART, releasing.EMPTY, releasing.EVERY = 0.5, 0.2, 0.5, 0.5
main()
""",
    "run",
]
"""The driver, which gives pods less time to be listed: half a minute is too long for a test."""
SAY = "env | sort; exec sleep 600"


def pod(name, resource, count=1):
    """A pod of one container that says its environment and stays."""
    return legacy_world.pod(name, {resource: count}, SAY, terminationGracePeriodSeconds=5)


def claiming(name, device_class, count=1):
    """A claim and the pod that has it, of one name."""
    exactly = {"deviceClassName": device_class, "count": count}
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "device", "exactly": exactly}]}},
    }
    claims = [{"name": "device", "resourceClaimName": name}]
    body = legacy_world.pod(name, {}, SAY, terminationGracePeriodSeconds=5, resourceClaims=claims)
    body["spec"]["containers"][0]["resources"] = {"claims": [{"name": "device"}]}
    return claim, body


async def given(testbed):
    """The device IDs each pod has, by the kubelet's pod-resources API."""
    (node,) = testbed.nodes.values()
    listing = await PodResources(node.kubelet_root / "pod-resources" / "kubelet.sock").list()
    found = {}
    for (_, device_id), name in sorted(listing.held.items()):
        found.setdefault(name.removeprefix("default/"), []).append(device_id)
    return found


async def allocated(testbed, claim):
    """The devices of a claim."""
    body = await testbed.api.get("resourceclaims", claim, "default")
    allocation = (body.get("status") or {}).get("allocation") or {"devices": {"results": []}}
    return [result["device"] for result in allocation["devices"]["results"]]


async def taints(testbed):
    """Device to its taint, as published now."""
    found = {}
    for body in (await testbed.api.list("resourceslices")).items:
        for device in body["spec"].get("devices", ()):
            for taint in device.get("taints", ()):
                found[device["name"]] = f"{taint['key']}={taint['value']}:{taint['effect']}"
    return found


def containers(testbed):
    """The OCI specs of the containers that were started, by pod."""
    (node,) = testbed.nodes.values()
    specs = [json.loads(c.read_text()) for c in node.kubelet_root.parent.glob("run/**/config.json")]
    return {spec["hostname"]: spec for spec in specs}


def variables(spec):
    """The environment of a container."""
    return dict(entry.split("=", 1) for entry in spec["process"]["env"])


async def offered(testbed, resource, count):
    """Wait until pods can have so many of a resource."""
    (name,) = testbed.nodes

    def has(node):
        return int(node["status"].get("allocatable", {}).get(resource, 0)) == count

    await testbed.until("nodes", name, has, namespace="")
