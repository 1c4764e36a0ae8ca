"""A driver as its own process with the whole testbed around it: nothing here speaks the kubelet's protocol itself."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import pydra_pizza.demo
from pydra_testbed.cluster import start
from pydra_testbed.driver_process import published, run_driver
from pydra_testbed.manifests import apply, read
from pydra_testbed.objects import ObjectRef, Selection

PIZZAS = Path(pydra_pizza.demo.__file__).parent
PIZZA = [sys.executable, "-m", "pydra_pizza", "run"]


@asynccontextmanager
async def pizzeria():
    """A cluster whose one node runs the pizza driver, with the menu's classes installed."""
    async with start() as testbed:
        node = testbed.nodes[0]
        async with run_driver(testbed, node, PIZZA) as driver:
            await published(testbed, node, driver)
            await apply(testbed.api, read(PIZZAS / "1-classes.yaml"), testbed.server.resource_of)
            yield testbed, node, driver


def order(name, selector, *, command="echo $PIZZA", slices="8", shared=None):
    """A pod and the claim it names, or only the pod if it shares a claim."""
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "devices": {
                "requests": [
                    {
                        "name": "pizza",
                        "exactly": {
                            "deviceClassName": "pizza",
                            "selectors": [{"cel": {"expression": selector}}],
                            "capacity": {"requests": {"kitchen.pizza.example/slices": slices}},
                        },
                    }
                ]
            }
        },
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "resourceClaims": [{"name": "pizza", "resourceClaimName": shared or name}],
            "containers": [
                {
                    "name": "table",
                    "image": "busybox",
                    "command": ["sh", "-c", command],
                    "resources": {"claims": [{"name": "pizza"}]},
                }
            ],
        },
    }
    return [pod] if shared else [claim, pod]


async def place(testbed, bodies):
    for body in bodies:
        resource = "pods" if body["kind"] == "Pod" else "resourceclaims"
        await testbed.api.create(resource, body, "default")


async def until(testbed, name, wanted):
    """Watch a pod until `wanted(pod)` holds, and return it."""
    async for event in testbed.api.watch(
        "pods", Selection("default", field_selector=f"metadata.name={name}")
    ):
        if wanted(event.object):
            return event.object
    raise AssertionError("the watch ended")


async def gone(testbed, resource, name):
    listed = await testbed.api.list(
        resource, Selection("default", field_selector=f"metadata.name={name}")
    )
    if not listed.items:
        return
    selection = Selection("default", field_selector=f"metadata.name={name}")
    async for event in testbed.api.watch(resource, selection, listed.resource_version):
        if event.type == "DELETED":
            return


def phase(*phases):
    return lambda pod: pod.get("status", {}).get("phase") in phases


async def log(testbed, name):
    return b"".join(
        [c async for c in testbed.logs.read("default", name, "table", follow=False)]
    ).decode()


def topping(name):
    return f'device.attributes["kitchen.pizza.example"].toppings.contains("{name}")'


@pytest.mark.parametrize(
    ("wanted", "served"), [("ham", "capricciosa"), ("salami", "diavola"), ("spinach", "bianca")]
)
async def test_the_pod_gets_the_pizza_its_selector_asks_for(wanted, served):
    async with pizzeria() as (testbed, _, _):
        await place(testbed, order("ada", topping(wanted)))
        assert (await until(testbed, "ada", phase("Succeeded", "Failed")))["status"][
            "phase"
        ] == "Succeeded"
        assert await log(testbed, "ada") == f"{served}\n"


async def test_the_oci_spec_holds_what_the_driver_answered():
    async with pizzeria() as (testbed, node, _):
        await place(testbed, order("ada", topping("ham"), slices="2"))
        await until(testbed, "ada", phase("Succeeded"))
        (config,) = node.kubelet_root.parent.glob("run/**/config.json")
        env = json.loads(config.read_text())["process"]["env"]
        assert {"PIZZA=capricciosa", "PIZZA_SLICES=2", "PIZZA_WITH=ham, mushrooms, olives"} <= set(
            env
        )


async def test_a_driver_killed_while_a_pod_eats_still_unprepares_its_claim():
    async with start() as testbed:
        node = testbed.nodes[0]
        async with run_driver(testbed, node, PIZZA) as first:
            await published(testbed, node, first)
            await apply(testbed.api, read(PIZZAS / "1-classes.yaml"), testbed.server.resource_of)
            await place(testbed, order("ada", topping("ham"), command="sleep 600"))
            await until(testbed, "ada", phase("Running"))
            files = {f.name: f.read_bytes() for f in node.cdi_dir.iterdir()}
            assert len(files) == 1
            first.kill()
            await first.process.wait()
        calls = []
        testbed.observe(calls.append)
        again = asyncio.Event()
        testbed.observe(
            lambda call: again.set() if call.method == "NotifyRegistrationStatus" else None
        )
        async with run_driver(testbed, node, PIZZA):
            await again.wait()
            assert {f.name: f.read_bytes() for f in node.cdi_dir.iterdir()} == files
            # A second pod on the same claim: the kubelet has it prepared and asks for nothing.
            await place(testbed, order("grace", "", shared="ada"))
            await until(testbed, "grace", phase("Succeeded"))
            assert await log(testbed, "grace") == "capricciosa\n"
            await testbed.api.delete(ObjectRef("pods", "ada", "default"))
            await testbed.api.delete(ObjectRef("pods", "grace", "default"))
            await gone(testbed, "pods", "ada")
            await gone(testbed, "pods", "grace")
            assert list(node.cdi_dir.iterdir()) == []
            methods = [
                c.method for c in calls if c.method.startswith("Node") and "Watch" not in c.method
            ]
            assert methods == ["NodeUnprepareResources"]
            async for event in testbed.api.watch("resourceclaims"):
                if not event.object.get("status"):
                    break


async def test_eight_slices_are_given_once_and_the_ninth_waits_until_one_is_free():
    async with pizzeria() as (testbed, _, _):
        await place(testbed, order("ada", topping("ham"), command="sleep 600", slices="5"))
        await until(testbed, "ada", phase("Running"))
        await place(testbed, order("grace", topping("ham"), slices="4"))
        waiting = await until(testbed, "grace", lambda p: p.get("status", {}).get("conditions"))
        (condition,) = [c for c in waiting["status"]["conditions"] if c["type"] == "PodScheduled"]
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        await testbed.api.delete(ObjectRef("pods", "ada", "default"))
        await until(testbed, "grace", phase("Succeeded"))
        assert await log(testbed, "grace") == "capricciosa\n"


async def test_an_order_the_kitchen_cannot_fill_fails_with_the_drivers_words_as_an_event():
    async with pizzeria() as (testbed, _, _):
        claim, pod = order("ada", topping("ham"))
        parameters = {"apiVersion": "dra.pizza/v1", "kind": "Order", "extraCheese": True}
        claim["spec"]["devices"]["config"] = [
            {"opaque": {"driver": "dra.pizza", "parameters": parameters}}
        ]
        await place(testbed, [claim, pod])
        async for event in testbed.api.watch("events"):
            if event.object.get("reason") == "FailedPrepareDynamicResources":
                assert "extraCheese: capricciosa comes without" in event.object["message"]
                return


async def test_a_misspelt_parameter_is_refused_with_its_name():
    async with pizzeria() as (testbed, _, _):
        claim, pod = order("ada", topping("ham"))
        parameters = {"apiVersion": "dra.pizza/v1", "kind": "Order", "extraChese": True}
        claim["spec"]["devices"]["config"] = [
            {"opaque": {"driver": "dra.pizza", "parameters": parameters}}
        ]
        await place(testbed, [claim, pod])
        async for event in testbed.api.watch("events"):
            if event.object.get("reason") == "FailedPrepareDynamicResources":
                assert "extraChese" in event.object["message"]
                return
