"""Pizzas for pods without claims, and beside claims; on the testbed or a real cluster."""

from __future__ import annotations

import asyncio
import signal

import pytest
from e2e_cluster import COMMAND, DRIVER
from legacy_pods import HASTY

PIZZA = "kitchen.pizza.example/pizza"
ONLY = {"ENABLE_DRA": "false", "ENABLE_DEVICE_PLUGIN": "true"}
BOTH = {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "true"}
SAY = "echo $PIZZA"
STAY = "echo $PIZZA; exec sleep 600"
CLAIMS = {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "false"}
MENU = ["bianca", "capricciosa", "diavola", "giardino", "margherita"]


def container(name, count, script):
    limits = {PIZZA: str(count)} if count else {}
    return {
        "name": name,
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "resources": {"limits": limits, "requests": limits},
    }


def pod(name, count=1, eats=STAY, **more):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
            "containers": [container("table", count, eats)],
            **more,
        },
    }


def claiming(name, eats=STAY):
    """A claim for any pizza nobody else has, whole, and the pod that has it."""
    exactly = {
        "deviceClassName": "pizza",
        "capacity": {"requests": {"kitchen.pizza.example/slices": "8"}},
    }
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name},
        "spec": {"devices": {"requests": [{"name": "pizza", "exactly": exactly}]}},
    }
    body = pod(name, 0, eats, resourceClaims=[{"name": "pizza", "resourceClaimName": name}])
    body["spec"]["containers"][0]["resources"] = {"claims": [{"name": "pizza"}]}
    return claim, body


async def eaten(cluster, name):
    """What a pod got, by its own word."""
    while not (said := await cluster.log(name)):  # noqa: ASYNC110 - nobody tells of logs
        await asyncio.sleep(0.1)
    return said.strip()


async def tidy(cluster):
    """Wait until nothing is prepared any more."""
    async with asyncio.timeout(cluster.patience):
        while cluster.spec_files():  # noqa: ASYNC110 - nobody tells of files
            await asyncio.sleep(0.1)


async def tainted(cluster, *names):
    """Wait until these pizzas, and no others, are published as pods'."""
    async with asyncio.timeout(cluster.patience):
        while True:
            devices = [
                d for body in await cluster.slices() for d in body["spec"].get("devices", ())
            ]
            if sorted(d["name"] for d in devices if _is_tainted(d)) == sorted(names):
                return
            await asyncio.sleep(0.1)


def _is_tainted(device):
    return any(taint["key"] == f"{DRIVER}/device-plugin" for taint in device.get("taints", ()))


def unscheduled(body):
    conditions = body.get("status", {}).get("conditions", [])
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions)


def start(cluster, **environ):
    """Start the driver; on the testbed, where nobody's pod is late, it sees releases sooner."""
    command = COMMAND if cluster.testbed is None else HASTY
    return cluster.start_driver(command, **environ)


@pytest.fixture
async def alone(cluster):
    """The driver with extended resources alone."""
    driver = await start(cluster, published=False, **ONLY)
    await driver.registered()
    await cluster.offered(PIZZA, 5)
    return driver


@pytest.fixture
async def both(cluster):
    """The driver with both."""
    driver = await start(cluster, **BOTH)
    await cluster.offered(PIZZA, 5)
    return driver


@pytest.mark.usefixtures("alone")
async def test_pods_get_whole_pizzas_and_the_last_one_waits_for_what_is_released(cluster):
    await cluster.create(pod("ada"), pod("bob", 4))
    for name in ("ada", "bob"):
        await cluster.pod(name, "Running")
    had = await eaten(cluster, "ada")
    assert had in MENU
    assert len(cluster.spec_files()) == 5
    await cluster.create(pod("eve", eats=SAY))
    await cluster.until(cluster.folder("Pod"), "metadata.name=eve", unscheduled)
    await cluster.delete("Pod", "ada")
    await cluster.pod("eve")
    assert await cluster.log("eve") == f"{had}\n"
    await cluster.delete("Pod", "bob")
    await cluster.delete("Pod", "eve")
    await tidy(cluster)
    assert await cluster.slices() == []


@pytest.mark.usefixtures("alone")
async def test_what_only_an_init_container_has_is_given_to_nobody_else(cluster):
    first = container("first", 5, SAY)
    await cluster.create(pod("ada", 0, initContainers=[first]))
    await cluster.pod("ada", "Running")
    await cluster.create(pod("bob"))
    await cluster.until(cluster.folder("Pod"), "metadata.name=bob", unscheduled)
    await cluster.delete("Pod", "ada")
    await cluster.pod("bob", "Running")
    assert await eaten(cluster, "bob") in MENU
    await cluster.delete("Pod", "bob")
    await tidy(cluster)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "kill-9"])
async def test_a_driver_that_was_ended_knows_what_pods_have(cluster, alone, number):
    await cluster.create(pod("ada", 2))
    await cluster.pod("ada", "Running")
    files = cluster.spec_files()
    await alone.end(number)
    assert cluster.spec_files() == files
    await cluster.offered(PIZZA, 0)
    again = await start(cluster, published=False, **ONLY)
    await again.registered()
    await cluster.offered(PIZZA, 5)
    assert cluster.spec_files() == files
    await cluster.create(pod("bob", 3))
    await cluster.pod("bob", "Running")
    assert len(cluster.spec_files()) == 5
    await cluster.delete("Pod", "ada")
    await cluster.delete("Pod", "bob")
    await tidy(cluster)


async def test_after_a_kubelet_restart_pods_keep_what_they_have(cluster, alone):
    cluster.must_be_a_testbed("a real node's kubelet is its service manager's to restart")
    await cluster.create(pod("ada", 2))
    await cluster.pod("ada", "Running")
    files = cluster.spec_files()
    await cluster.restart_kubelet()
    await alone.registered(times=2)
    await cluster.create(pod("bob", 3))
    await cluster.pod("bob", "Running")
    assert files.items() < cluster.spec_files().items()
    await cluster.delete("Pod", "ada")
    await cluster.delete("Pod", "bob")
    await tidy(cluster)


@pytest.mark.usefixtures("both")
async def test_what_one_side_has_the_other_side_shows(cluster):
    await cluster.create(*claiming("ada"))
    await cluster.pod("ada", "Running")
    had = await eaten(cluster, "ada")
    await cluster.offered(PIZZA, 4)
    await cluster.create(pod("bob", 4))
    await cluster.pod("bob", "Running")
    rest = [name for name in MENU if name != had]
    await tainted(cluster, *rest)
    await cluster.delete("Pod", "ada")
    await cluster.offered(PIZZA, 5)
    await cluster.delete("Pod", "bob")
    await tidy(cluster)
    await tainted(cluster)


async def test_pods_move_to_claims_by_the_name_of_the_resource(cluster, both):
    await cluster.must_be_since(36, "DRAExtendedResource is on from Kubernetes 1.36")
    named = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": f"{cluster.namespace}-counted"},
        "spec": {
            "extendedResourceName": PIZZA,
            "selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}],
        },
    }
    await cluster.create(named, pod("ada"))
    await cluster.pod("ada", "Running")
    await tainted(cluster, await eaten(cluster, "ada"))
    await both.end(signal.SIGTERM)
    await start(cluster, **CLAIMS)
    await cluster.offered(PIZZA, 0)
    await cluster.create(pod("bob", 4))
    moved = await cluster.pod("bob", "Running")
    assert moved["status"]["extendedResourceClaimStatus"]["resourceClaimName"]
    await cluster.delete("Pod", "ada")
    await cluster.delete("Pod", "bob")
    await tidy(cluster)
