"""Pods with extended resources, from the scheduler to the process, given by a driver that also serves DRA claims."""

from __future__ import annotations

from legacy_world import CARD, SEAT, command, pod


async def test_a_pod_gets_what_the_driver_prepares_for_each_of_its_cards(testbed, tmp_path):
    environ = {"ENABLE_DEVICE_PLUGIN": "true", "STATE": str(tmp_path)}
    await testbed.plugin(command(tmp_path), CARD, environ=environ)
    await testbed.apply(pod("two", {CARD: 2, SEAT: 1}))
    await testbed.pod("two")
    log = await testbed.log("two")
    assert sorted(line for line in log.splitlines() if line.startswith("CARD_"))[:2] == [
        "CARD_0=card-0",
        "CARD_1=card-1",
    ]
