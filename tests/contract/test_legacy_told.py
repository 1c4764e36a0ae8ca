"""What pods have of extended resources has no claim in the API: who tells of claims must not look for one."""

from __future__ import annotations

import asyncio
import json

import legacy_world
import pytest
from driver_world import DRIVER, NODE
from legacy_world import CARD, SEAT, started

from pydra_core import main

kubelet = legacy_world.kubelet


async def run(capsys, world, command, *arguments):
    """What a sub-command writes, as JSON, and its exit code; its event loop is its own."""
    flags = ("--kubelet-root", str(world.root / "kubelet"), "--cdi-dir", str(world.cdi))
    with pytest.raises(SystemExit) as ended:
        await asyncio.to_thread(main, None, [command, *arguments, *flags, "-o", "json"])
    return json.loads(capsys.readouterr().out), ended.value.code


async def test_top_tells_the_resource_and_the_id(world, kubelet, capsys, monkeypatch):
    driver = await started(world)
    await driver.registered()
    await (await kubelet.plugin(CARD)).allocate(["card-0"])
    await (await kubelet.plugin(SEAT)).allocate(["card-3::1"])
    claim = await world.claim("card-1")
    await driver.prepare(claim)
    monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))
    report, code = await run(capsys, world, "top", "--node-name", NODE)
    rows = {row["device"]: row for row in report["devices"]}
    assert rows["card-0"]["resource"] == {"name": CARD, "id": "card-0"}
    assert rows["card-3"]["resource"] == {"name": SEAT, "id": "card-3::1"}
    assert rows["card-3"]["share"]
    assert "claim" not in rows["card-0"]
    assert rows["card-1"]["claim"]["name"] == claim.name
    assert "resource" not in rows["card-1"]
    assert code == 0


async def test_unstick_waits_for_no_pod_that_ends_without_it(world, kubelet, capsys):
    driver = await started(world)
    await (await kubelet.plugin(CARD)).allocate(["card-0"])
    await driver.stop()
    report, code = await run(capsys, world, "unstick", DRIVER, "--dry-run")
    assert report == {"driver": DRIVER, "released": [], "left": []}
    assert code == 0


async def test_no_claim_is_told_of_a_card_that_turned_sick_in_the_hands_of_a_pod(world, kubelet):
    driver = await started(world)
    await driver.registered()
    await (await kubelet.plugin(CARD)).allocate(["card-2"])
    (world.root / "sick").write_text("card-2")
    kinds = []
    async for change in world.api.watch("events"):
        kinds.append((change.object["reason"], change.object["involvedObject"]["kind"]))
        if change.object["reason"] == "DeviceRecovered":
            break
        (world.root / "sick").unlink(missing_ok=True)
    assert kinds == [("DeviceUnhealthy", "Node"), ("DeviceRecovered", "Node")]
    assert "claim not told" not in driver.logged()
