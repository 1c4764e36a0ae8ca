from __future__ import annotations

import pytest
from driver_world import CARDS, DRIVER
from slice_watching import published, until

from pydra_core import Driver
from pydra_core.cli import main
from pydra_core.command import FINDING, FINE, USAGE

KEY = f"{DRIVER}/set-aside"


@pytest.fixture
def command(world, capsys):
    """Run one of the commands as on the node; returns exit code and what it said."""

    class CardDriver(Driver):
        name = DRIVER

        async def discover(self):
            raise AssertionError

        async def prepare(self, _):
            raise AssertionError

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(CardDriver, [*arguments, "--kubelet-root", str(world.root / "kubelet")])
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    return run


def taints(slices, device):
    (found,) = [d for s in slices.values() for d in s["spec"]["devices"] if d["name"] == device]
    return [(t["key"], t["value"], t["effect"]) for t in found.get("taints", [])]


async def test_a_device_that_is_set_aside_is_tainted_until_it_is_taken_back(world, command):
    driver = await world.start(CARDS)
    await published(world, driver)
    code, said = command("taint", "card-1", "--reason", "DustyFan")
    assert (code, said) == (FINE, "card-1 set aside: DustyFan (NoSchedule)\n")
    wanted = [(KEY, "DustyFan", "NoSchedule")]
    slices = await until(world, lambda s: taints(s, "card-1") == wanted)
    assert taints(slices, "card-0") == []
    assert command("taint") == (FINE, "card-1 DustyFan (NoSchedule)\n")
    await driver.stop()
    again = await world.start(CARDS)
    await again.registered()
    command("taint", "card-2", "--reason", "Test", "--effect", "NoExecute")
    slices = await until(world, lambda s: taints(s, "card-2"))
    assert taints(slices, "card-1") == wanted
    assert command("untaint", "card-1") == (FINE, "card-1 is taken back\n")
    await until(world, lambda s: taints(s, "card-1") == [])
    assert command("untaint", "card-1") == (FINDING, "card-1 was not set aside\n")


@pytest.mark.parametrize("text", ["{", '{"version":2,"devices":{}}'])
async def test_a_list_that_cannot_be_read_is_named_and_kept(world, command, text):
    folder = world.dra_socket.parent
    folder.mkdir(parents=True)
    (folder / "set-aside.json").write_text(text)
    code, said = command("taint", "card-1", "--reason", "Test")
    assert code == FINDING
    assert "set-aside.json: cannot be read" in said
    assert (folder / "set-aside.json").read_text() == text
    driver = await world.start(CARDS)
    await published(world, driver)
    await driver.says("devices that are set aside are not known")


async def test_a_reason_that_is_no_label_value_is_refused(command):
    code, said = command("taint", "card-1", "--reason", "very dusty")
    assert code == USAGE
    assert "'very dusty' is no label value" in said
