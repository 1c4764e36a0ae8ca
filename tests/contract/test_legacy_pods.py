"""Pods with extended resources, from the scheduler to the process, given by a driver that also serves DRA claims."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json

import pytest
from dual_life import QUICK as HASTY
from legacy_world import CARD, SEAT, command, pod

OLD, NEW = "0b5f5e1e-0000-4000-8000-00000000000a", "0b5f5e1e-0000-4000-8000-00000000000b"
KNOWN = f"registered with the kubelet resource={CARD}"

QUICK = """
from pydra_core._legacy import releasing, vetoing

releasing.EVERY, releasing.APART, releasing.GRACE, releasing._LEAST = 0.1, 0.1, 0.3, 0.05
vetoing.RENEW = 0.5
"""
KEPT = "no pod is listed with a device that the kubelet has given"


def environ(folder, **more):
    return {"ENABLE_DEVICE_PLUGIN": "true", "STATE": str(folder), **more}


async def cards_of(testbed, name):
    log = await testbed.log(name)
    return sorted(line for line in log.splitlines() if line.startswith("CARD_"))


async def test_a_pod_gets_what_the_driver_prepares_for_each_of_its_cards(testbed, tmp_path):
    await testbed.plugin(command(tmp_path), CARD, environ=environ(tmp_path))
    await testbed.apply(pod("two", {CARD: 2, SEAT: 1}))
    await testbed.pod("two")
    one, other, seat = await cards_of(testbed, "two")
    assert (one, other) == ("CARD_0=card-0", "CARD_1=card-1")
    assert seat.startswith("CARD_3=")


async def test_the_containers_of_a_pod_have_the_card_of_its_init_container(testbed, tmp_path):
    await testbed.plugin(command(tmp_path), CARD, environ=environ(tmp_path))
    limits = {"limits": {CARD: "1"}, "requests": {CARD: "1"}}
    init = {"name": "init", "image": "busybox", "command": ["sh", "-c", "env"], "resources": limits}
    await testbed.apply(pod("both", {CARD: 1}, initContainers=[init]))
    await testbed.pod("both")
    assert await cards_of(testbed, "both") == ["CARD_0=card-0"]


@pytest.mark.testbed(gates={"DRADeviceTaints": False}, kubelet=HASTY)
async def test_what_only_an_init_container_has_no_claim_gets_before_the_pod_is_gone(
    testbed, tmp_path
):
    """The kubelet lists it nowhere; without taints the claim's scheduler cannot know."""
    driver = await testbed.plugin(command(tmp_path, QUICK), CARD, environ=environ(tmp_path))
    limits = {"limits": {CARD: "3"}, "requests": {CARD: "3"}}
    script = ["sh", "-c", "exec sleep 600"]
    init = {"name": "init", "image": "busybox", "command": script, "resources": limits}
    await testbed.apply(pod("first", {}, initContainers=[init]))
    await told(driver, KEPT)
    await testbed.apply(*claiming("second"))
    event = await testbed.event("FailedPrepareDynamicResources")
    assert f"of resource {CARD}" in event["message"]
    assert in_checkpoint(testbed) == ["card-0", "card-1", "card-2"]
    await testbed.delete("pods", "first")
    await testbed.pod("second")
    assert in_checkpoint(testbed) == []


async def test_after_a_kubelets_restart_pods_go_on_to_get_cards(testbed, tmp_path):
    driver = await testbed.plugin(command(tmp_path), CARD, environ=environ(tmp_path))
    (kubelet,) = testbed.kubelets.values()
    await testbed.apply(pod("early", {CARD: 1}, "env; exec sleep 600"))
    await testbed.pod("early", "Running")
    driver.news()
    await kubelet.restart()
    await told(driver, KNOWN)
    late = await served(testbed, "late", {CARD: 2})
    assert await cards_of(testbed, late) == ["CARD_1=card-1", "CARD_2=card-2"]
    assert driver.process.returncode is None


async def test_without_the_kubelets_folder_a_driver_registers_like_a_dra_driver(testbed, tmp_path):
    (node,) = testbed.nodes.values()
    root = node.kubelet_root.parent / "r"
    root.mkdir()
    for name in ("plugins", "plugins_registry", "pod-resources"):
        (root / name).symlink_to(node.kubelet_root / name)
    found = environ(tmp_path, KUBELET_ROOT=str(root))
    driver = await testbed.plugin(command(tmp_path), CARD, environ=found)
    await testbed.apply(pod("one", {CARD: 1}))
    await testbed.pod("one")
    assert await cards_of(testbed, "one") == ["CARD_0=card-0"]
    driver.news()
    await testbed.kubelets[node.name].restart()
    await told(driver, KNOWN)
    two = await served(testbed, "two", {CARD: 2})
    assert len(await cards_of(testbed, two)) == 2
    assert driver.process.returncode is None


async def test_an_upgrade_with_overlap_leaves_the_younger_driver_serving(testbed, tmp_path):
    old = await testbed.plugin(command(tmp_path), CARD, environ=environ(tmp_path, POD_UID=OLD))
    young = await testbed.plugin(command(tmp_path), CARD, environ=environ(tmp_path, POD_UID=NEW))
    await told(young, KNOWN)
    await old.stop()
    one = await served(testbed, "one", {CARD: 1})
    assert await cards_of(testbed, one) == ["CARD_0=card-0"]


def claiming(name):
    """A pod with a claim for a card that is no seats, and what belongs to it."""
    of_cards = (
        'device.driver == "card.acme.example" && device.attributes["card.acme.example"].index < 3'
    )
    request = {
        "name": "r",
        "exactly": {
            "deviceClassName": "card",
            "selectors": [{"cel": {"expression": of_cards}}],
        },
    }
    api, claims = "resource.k8s.io/v1", [{"name": "c", "resourceClaimName": name}]
    asking = pod(name, {}, resourceClaims=claims)
    asking["spec"]["containers"][0]["resources"] = {"claims": [{"name": "c"}]}
    return (
        {"apiVersion": api, "kind": "DeviceClass", "metadata": {"name": "card"}, "spec": {}},
        {
            "apiVersion": api,
            "kind": "ResourceClaim",
            "metadata": {"name": name},
            "spec": {"devices": {"requests": [request]}},
        },
        asking,
    )


def in_checkpoint(testbed):
    """The device IDs that pods have by the kubelet's own file."""
    (node,) = testbed.nodes.values()
    file = node.kubelet_root / "device-plugins" / "kubelet_internal_checkpoint"
    entries = json.loads(file.read_text())["Data"]["PodDeviceEntries"] or ()
    return sorted(i for entry in entries for ids in entry["DeviceIDs"].values() for i in set(ids))


async def served(testbed, name, amounts):
    """The name of the first pod that got what it wants: one that comes too early is refused for good, as on a node."""
    for number in itertools.count():
        await testbed.apply(pod(f"{name}-{number}", amounts))
        ended = await testbed.pod(f"{name}-{number}", "Succeeded", "Failed")
        if ended["status"]["phase"] == "Succeeded":
            return f"{name}-{number}"
    raise AssertionError


async def told(driver, text):
    """Wait until the driver has logged it."""
    lines = []
    while not any(text in line for line in lines):
        lines += driver.news()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.05)
