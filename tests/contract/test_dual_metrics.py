"""What a scrape tells of the mode, and of each extended resource."""

from __future__ import annotations

import re

import aiohttp
from legacy_world import CARD, PROGRAM, SEAT, kubelet
from prometheus_client.parser import text_string_to_metric_families

from pydra_core._proto import pluginregistration_v1_pb2 as registration

__all__ = ["kubelet"]


async def says(driver, *, registered, error=""):
    """What a kubelet says of the DRA registration."""
    status = registration.RegistrationStatus(plugin_registered=registered, error=error)
    service = (registration, "Registration", "NotifyRegistrationStatus")
    await driver.call(driver.registration_socket, *service, status)


def _by(label, name, text):
    samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
    return {s.labels[label]: s.value for s in samples if s.name == name}


async def tells(driver, modes, resources):
    """Scrape until it tells this."""
    await driver.says("probes served")
    (address,) = re.findall(r"address=(\S+)", driver.logged())
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://{address}/metrics") as answer:
                text = await answer.text()
            found = _by("api", "pydra_mode", text)
            if (found, _by("resource", "pydra_resource_registered", text)) == (modes, resources):
                return


async def test_the_mode_and_whether_the_kubelet_knows_each_resource_are_told(world, kubelet):
    driver = await world.start(PROGRAM, STATE=str(world.root), HTTP_ADDRESS="127.0.0.1:0")
    await tells(driver, {"dra": 1, "device-plugin": 0}, {})
    await says(driver, registered=False, error="no handler registered for plugin type: DRAPlugin")
    await tells(driver, {"dra": 0, "device-plugin": 1}, {CARD: 1, SEAT: 1})
    kubelet.refuses = 1000
    await (await kubelet.plugin(CARD)).close()
    await tells(driver, {"dra": 0, "device-plugin": 1}, {CARD: 0, SEAT: 1})
    await kubelet.stop()
    await kubelet.start()
    await says(driver, registered=True)
    await tells(driver, {"dra": 1, "device-plugin": 0}, {})


async def test_a_driver_without_resources_serves_claims_alone(world):
    driver = await world.start(HTTP_ADDRESS="127.0.0.1:0")
    await tells(driver, {"dra": 1, "device-plugin": 0}, {})
