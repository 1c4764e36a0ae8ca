"""The pages on pods without claims: examples done as they say, names and settings that are there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from legacy_pods import containers, pod
from shown_pages import items

from pydra_core.settings import all_keys
from pydra_nvidia.resources import GPU, SHARED
from pydra_nvidia_fake import FakeHost
from pydra_pizza import PizzaDriver

ROOT = Path(__file__).parents[2]
SERVE = (ROOT / "docs/user/device-plugin.md").read_text(encoding="utf-8")
MOVE = (ROOT / "docs/user/migrate-to-dra.md").read_text(encoding="utf-8")
VALUES = yaml.safe_load((ROOT / "charts/dra-driver/values.yaml").read_text(encoding="utf-8"))
PIZZA = "kitchen.pizza.example/pizza"


def documents(page, name):
    (text,) = [body for file, body in items(page) if file == name]
    return list(yaml.safe_load_all(text))


async def test_the_pod_of_the_page_gets_a_whole_pizza(testbed):
    command = [sys.executable, "-m", "pydra_pizza", "run"]
    await testbed.plugin(command, PIZZA, environ={"ENABLE_DEVICE_PLUGIN": "true"})
    await testbed.apply(*documents(SERVE, "pod.yaml"))
    await testbed.pod("hungry", "Succeeded")
    assert re.fullmatch(r"a [a-z]+ of 8 slices\n", await testbed.log("hungry"))


async def test_the_resources_of_the_page_are_those_of_the_drivers():
    driver = PizzaDriver()
    pizzas = [resource.name for resource in driver.resources(await driver.discover())]
    named = re.findall(r"^\| `([^`]+)` \| (?:a|one) ", SERVE, re.MULTILINE)
    assert named == [*pizzas, GPU, SHARED, "nvidia.com/mig-<profile>"]


@pytest.mark.parametrize("page", [SERVE, MOVE], ids=["device-plugin", "migrate-to-dra"])
def test_settings_and_values_of_the_page_are_there(page):
    known = {key.env for key in all_keys()}
    assert set(re.findall(r"`((?:ENABLE|DEVICE)_\w+)", page)) <= known
    paths = re.findall(r"[` ]((?:dra|devicePlugin|shares|mps)(?:\.\w+)*)[:=]", page)
    assert paths
    for path in paths:
        value = VALUES
        for name in path.split("."):
            value = value[name]


@pytest.fixture
async def machine(testbed, tmp_path):
    async def start(description, resource, **environ):
        host = FakeHost.build(description, tmp_path / "machine")
        told = {"NVIDIA_HOST_ROOT": str(host.root), **environ}
        await testbed.driver([sys.executable, "-m", "pydra_nvidia", "run"], environ=told)
        await testbed.apply(*documents(MOVE, "classes.yaml"), pod("moved", resource))
        await testbed.pod("moved", "Running")
        claims = (await testbed.api.list("resourceclaims")).items
        return [r for c in claims for r in c["status"]["allocation"]["devices"]["results"]]

    return start


async def test_a_pod_gets_a_mig_device_by_the_name_of_a_class(testbed, machine):
    (result,) = await machine("mixed-mig", "nvidia.com/mig-1g.10gb")
    assert result["device"].startswith("gpu-1-mig-1g10gb")
    nodes = [one["path"] for one in containers(testbed)["moved"]["linux"]["devices"]]
    assert "/dev/nvidia1" in nodes


async def test_a_pod_gets_a_share_by_the_name_of_a_class(machine):
    (result,) = await machine("t4x1", SHARED, NVIDIA_SHARES="4")
    assert result["device"] == "gpu-0"
    assert {n.rpartition("/")[2]: q for n, q in result["consumedCapacity"].items()}["shares"] == "1"
