"""A release of the chart on a testbed, as Helm would go about it: installed, tested, upgraded, uninstalled.

The DaemonSet's pod is the real pizza driver, with the token of the chart's service account and its roles in force.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import sys

import pytest

from pydra_testbed.kubelet import KubeletSettings
from pydra_testbed.objects import ObjectRef, Selection

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.testbed(
        authorization="RBAC",
        kubelet=KubeletSettings(
            reconcile_period=0.05,
            wipe_delay=0.3,
            sync_backoff=0.5,
            resync_period=0.5,
            node_update_period=0.3,
        ),
    ),
]
PIZZA = "resource.k8s.io/v1"


def order(name):
    """A claim, and a pod that uses it until it is deleted."""
    request = {"name": "pizza", "exactly": {"deviceClassName": "pizza"}}
    container = {"name": "table", "image": "none", "command": ["sleep", "600"]}
    container["resources"] = {"claims": [{"name": "pizza"}]}
    spec = {
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "resourceClaims": [{"name": "pizza", "resourceClaimName": name}],
    }
    metadata = {"name": name, "namespace": "default"}
    devices = {"devices": {"requests": [request]}}
    return (
        {"apiVersion": PIZZA, "kind": "ResourceClaim", "metadata": metadata, "spec": devices},
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
    )


async def eats(testbed, name):
    await testbed.apply(*order(name))
    await testbed.pod(name, "Running")


async def drivers(testbed):
    """The release's pods that are to stay."""
    pods = (await testbed.api.list("pods", Selection("drivers"))).items
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


async def first(testbed, resource):
    """The first object of that sort, once there is one."""
    async for event in testbed.api.watch(resource, Selection()):
        yield event.object
        return


async def gone(testbed, resource, selection):
    """Wait until nothing of that sort is left."""
    while (await testbed.api.list(resource, selection)).items:  # noqa: ASYNC110 (controllers are at work)
        await asyncio.sleep(0.02)


def files(folder):
    return {f"{path.relative_to(folder)}" for path in folder.rglob("*") if not path.is_dir()}


def spec_files(testbed):
    (node,) = testbed.nodes.values()
    return {path.name: path.read_bytes() for path in node.cdi_dir.iterdir()}


async def test_a_release_serves_is_tested_and_leaves_nothing_in_the_cluster(testbed, release):
    (node,) = testbed.nodes.values()
    tester = await release.test()
    await testbed.pod(tester, "Succeeded", namespace="drivers")
    assert "A pizza margherita with vegetarian, basil." in await testbed.log(
        tester, namespace="drivers"
    )
    await gone(testbed, "resourceclaims", Selection("drivers"))
    assert spec_files(testbed) == {}

    await release.uninstall()
    await testbed.delete("pods", tester, "drivers")
    await gone(testbed, "pods", Selection("drivers"))
    await gone(testbed, "resourceslices", Selection())
    assert await release.left() == []
    left = files(node.kubelet_root / "plugins")
    assert left == {f"dra.pizza/{name}" for name in ("journal", "journal.lock", "mode.json")}
    assert files(node.kubelet_root / "plugins_registry") == set()
    assert spec_files(testbed) == {}


async def test_a_release_without_claims_gives_its_test_a_pizza_by_number(
    testbed, placed, new_release
):
    (node,) = testbed.nodes.values()
    program = [sys.executable, "-m", "pydra_pizza"]
    objects = await placed("without-dra", "drivers/kitchen-dra-driver", program)
    made = new_release(testbed.server, objects)
    await made.install()
    tester = await made.test()
    await testbed.pod(tester, "Succeeded", namespace="drivers")
    assert "A pizza " in await testbed.log(tester, namespace="drivers")
    for kind in ("resourceslices", "deviceclasses", "validatingadmissionpolicies"):
        assert (await testbed.api.list(kind)).items == ()
    await made.uninstall()
    await testbed.delete("pods", tester, "drivers")
    await gone(testbed, "pods", Selection("drivers"))
    assert files(node.kubelet_root / "device-plugins") <= {
        "DEPRECATION",
        "kubelet.sock",
        "kubelet_internal_checkpoint",
    }


@pytest.mark.usefixtures("release")
async def test_doctor_finds_no_right_missing_in_a_release(testbed):
    (pod,) = await drivers(testbed)
    (container,) = pod["spec"]["containers"]
    given = {e["name"]: e["value"] for e in container["env"] if "value" in e}
    process = await asyncio.create_subprocess_exec(
        *(*container["command"][:-1], "doctor", "--laptop", "-o", "json"),
        env=os.environ | given | {"NODE_NAME": pod["spec"]["nodeName"]},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    rows = json.loads(told)["checks"]
    rows = [row for row in rows if row["check"].startswith(("rbac", "api"))]
    assert {row["state"] for row in rows} == {"ok"}, rows
    assert "rbac: associated-node:patch resourceclaims/driver" in {row["check"] for row in rows}


async def test_a_test_pod_that_got_nothing_fails(testbed, release):
    body = copy.deepcopy(next(b for b in release.objects if b["kind"] == "Pod"))
    del body["spec"]["resourceClaims"]
    (container,) = body["spec"]["containers"]
    del container["resources"]["claims"]
    await testbed.apply(body)
    name = body["metadata"]["name"]
    await testbed.pod(name, "Failed", namespace="drivers")
    assert "the container got no device" in await testbed.log(name, namespace="drivers")


async def test_an_upgrade_keeps_claims_prepared_before_during_and_after(
    testbed, release, chart_on, serving
):
    await eats(testbed, "before")
    files_before = spec_files(testbed)
    newer = await chart_on(LOG_LEVEL="debug")
    (body,) = [each for each in newer if each["kind"] == "DaemonSet"]
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/pydra/pydra-pizza:0.3.0"  # fmt: skip
    told = len(testbed.calls)
    await release.upgrade(newer)
    await testbed.apply(*order("during"))
    await serving(testbed, generation=2)
    await testbed.pod("during", "Running")
    await eats(testbed, "after")

    assert files_before.items() <= spec_files(testbed).items()
    prepared = [c for c in testbed.calls[told:] if c.method == "NodePrepareResources"]
    assert {claim.name for call in prepared for claim in call.claims} == {"during", "after"}
    images = {pod["spec"]["containers"][0]["image"] for pod in await drivers(testbed)}
    assert images == {"registry.example.com/pydra/pydra-pizza:0.3.0"}
    for name in ("before", "during", "after"):
        await testbed.delete("pods", name)
    assert spec_files(testbed) == {}


async def test_after_an_uninstall_pods_run_on_and_a_new_install_lets_them_go(
    testbed, release, new_release, chart_on, serving, caplog
):
    """A claim from before keeps its device; one that comes meanwhile waits, whether it was still allocated or not."""
    await eats(testbed, "before")
    kept = spec_files(testbed)
    await asyncio.gather(release.uninstall(), testbed.apply(*order("during")))
    await gone(testbed, "pods", Selection("drivers"))
    await gone(testbed, "resourceslices", Selection())
    await testbed.apply(*order("between"))
    assert kept.items() <= spec_files(testbed).items()
    await testbed.pod("before", "Running")
    await testbed.api.delete(ObjectRef("pods", "before", "default"))
    while "claims not unprepared" not in caplog.text:  # noqa: ASYNC110 (no event tells of it)
        await asyncio.sleep(0.02)

    again = new_release(testbed.server, await chart_on())
    await again.install()
    await serving(testbed)
    await gone(testbed, "pods", Selection("default", field_selector="metadata.name=before"))
    assert not kept.keys() & spec_files(testbed).keys()
    for name in ("during", "between"):
        await testbed.pod(name, "Running")
    await eats(testbed, "after")


FABRIC = """
from pydra_core import Device, Driver, Inventory, main
from pydra_core.values import Nodes, Pool


class FabricDriver(Driver):
    name = "dra.pizza"

    async def discover(self) -> Inventory:
        return Inventory()

    async def prepare(self, claim):
        return []

    async def cluster_pools(self):
        return [Pool("delivery", (Device("scooter"),), nodes=Nodes())]


main(FabricDriver)
"""


async def test_the_publisher_publishes_what_several_nodes_reach_with_the_rights_it_has(
    testbed, placed, new_release, tmp_path
):
    (tmp_path / "fabric.py").write_text(FABRIC)
    program = [sys.executable, str(tmp_path / "fabric.py")]
    objects = await placed("fabric", "drivers/kitchen-dra-driver-publish", program)
    made = new_release(testbed.server, [b for b in objects if b["kind"] != "DaemonSet"])
    await made.install()
    (found,) = [b async for b in first(testbed, "resourceslices")]
    assert found["spec"]["pool"]["name"] == "delivery"
    lease = await testbed.api.get("leases", "dra.pizza-publish", "drivers")
    assert lease["spec"]["leaseDurationSeconds"] == 15
    await made.uninstall()
    await gone(testbed, "pods", Selection("drivers"))
    assert await made.left() == []
