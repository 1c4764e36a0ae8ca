"""The pages on sick devices and on slices, with the pizza driver on a node."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import pytest
import yaml
from driver_world import NODE, DriverUnderTest
from slice_watching import until

from pydra_core.cli import main

USER = Path(__file__).parents[2] / "docs/user"
PIZZA = """
    import os
    from pathlib import Path

    from pydra_core import main
    from pydra_pizza.driver import PizzaDriver


    class Kitchen(PizzaDriver):
        def __init__(self):
            super().__init__(Path(os.environ["KITCHEN"]))


    main(Kitchen)
"""


@pytest.fixture
async def kitchen(world, monkeypatch):
    """The pizza driver, published; its host is a folder."""
    monkeypatch.setattr(
        DriverUnderTest,
        "registration_socket",
        world.root / "kubelet/plugins_registry/dra.pizza-reg.sock",
    )
    driver = await world.start(PIZZA, KITCHEN=str(world.root / "host"))
    assert (await driver.registered()).name == "dra.pizza"
    await until(world, len)
    return world.root / "host"


def blocks(page, language):
    text = (USER / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


async def test_a_cold_oven_taints_its_pizza_as_the_page_says(world, kitchen):
    (example,) = blocks("device-sick.md", "yaml")
    wanted = yaml.safe_load(example)["taints"]
    oven = kitchen / "run/pizza/cold-oven"
    oven.parent.mkdir(parents=True)
    oven.write_text("margherita")

    def taints(slices):
        devices = [d for s in slices.values() for d in s["spec"]["devices"] if d.get("taints")]
        return {
            d["name"]: [{k: v for k, v in t.items() if k != "timeAdded"} for t in d["taints"]]
            for d in devices
        }

    await until(world, lambda s: taints(s) == {"margherita": wanted})
    oven.unlink()
    await until(world, lambda s: taints(s) == {})


async def test_the_commands_say_what_the_page_shows(world, capsys, monkeypatch):
    monkeypatch.setenv("KUBELET_ROOT", str(world.root / "kubelet"))
    (world.root / "kubelet/plugins/dra.pizza").mkdir(parents=True)
    examples = "".join(blocks("device-sick.md", "console"))
    for command, output in re.findall(r"^\$ pydra (.*)\n((?:(?!\$).*\n)*)", examples, re.MULTILINE):
        with pytest.raises(SystemExit):
            main(None, shlex.split(command))
        assert capsys.readouterr().out == output


@pytest.mark.usefixtures("kitchen")
async def test_the_slice_is_as_the_page_shows_it(world):
    (example,) = blocks("what-the-scheduler-sees.md", "yaml")
    ((_, body),) = (await world.slices()).items()
    shown = yaml.safe_load(textwrap.dedent(example))
    assert {key: body["spec"][key] for key in shown} == shown
    assert shown["nodeName"] == NODE
