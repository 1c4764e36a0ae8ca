"""A driver as a real cluster runs it: a DaemonSet whose pod is the driver's process."""

from __future__ import annotations

import asyncio
import sys

from pydra_testbed.cluster import start
from pydra_testbed.objects import Selection


async def seen(testbed, resource, holds, namespace="default"):
    """The first object of that sort that has the property."""
    async for event in testbed.api.watch(resource, Selection(namespace)):
        if event.type in {"ADDED", "MODIFIED"} and holds(event.object):
            return event.object
    raise AssertionError(resource)


def daemon_set(testbed, node):
    environment = testbed.driver_environment(node)
    container = {
        "name": "driver",
        "image": "none",
        "command": [sys.executable, "-m", "pydra_pizza", "run"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
    }
    labels = {"app": "driver"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "driver"}, "spec": spec}


async def serve_claim(testbed, name):
    """Run a pod that has one device of the driver's to its end."""
    claims = testbed.api
    request = {"name": "r", "exactly": {"deviceClassName": "all"}}
    body = {"metadata": {"name": name}, "spec": {"devices": {"requests": [request]}}}
    await claims.create("resourceclaims", body, "default")
    container = {
        "name": "c",
        "image": "none",
        "command": ["true"],
        "resources": {"claims": [{"name": "d"}]},
    }
    entry = {"name": "d", "resourceClaimName": name}
    spec = {"containers": [container], "resourceClaims": [entry], "restartPolicy": "Never"}
    await claims.create("pods", {"metadata": {"name": name}, "spec": spec}, "default")
    return await seen(
        testbed,
        "pods",
        lambda pod: (
            pod["metadata"]["name"] == name and pod["status"]["phase"] in {"Succeeded", "Failed"}
        ),
    )


async def test_a_claim_is_served_by_a_driver_that_a_daemon_set_runs():
    async with start() as testbed:
        (node,) = testbed.nodes
        registrations = asyncio.Queue()
        testbed.observe(
            lambda call: (
                registrations.put_nowait(call)
                if call.method == "NotifyRegistrationStatus"
                else None
            )
        )
        await testbed.api.create("daemonsets", daemon_set(testbed, node), "default")
        await seen(testbed, "resourceslices", lambda _: True, "")
        ready = await seen(
            testbed, "daemonsets", lambda body: (body.get("status") or {}).get("numberAvailable")
        )
        assert ready["status"]["desiredNumberScheduled"] == 1
        await registrations.get()
        await testbed.api.create("deviceclasses", {"metadata": {"name": "all"}, "spec": {}})
        assert (await serve_claim(testbed, "first"))["status"]["phase"] == "Succeeded"
        body = await testbed.api.get("daemonsets", "driver", "default")
        body["spec"]["template"]["metadata"]["annotations"] = {"release": "2"}
        await testbed.api.update("daemonsets", body)
        await seen(
            testbed,
            "daemonsets",
            lambda body: (
                body["status"].get("observedGeneration") == 2
                and body["status"]["updatedNumberScheduled"] == 1
                and body["status"]["numberAvailable"] == 1
            ),
        )
        await registrations.get()
        assert (await serve_claim(testbed, "second"))["status"]["phase"] == "Succeeded"
