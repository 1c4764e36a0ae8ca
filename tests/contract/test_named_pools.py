"""A node with pools of its own beside the node's: claims, health, hand-made taints, what people are shown."""

from __future__ import annotations

import asyncio
import json

import pytest
import yaml
from driver_world import DRIVER, NODE
from health_world import Sickly, health_stream
from pool_drivers import PARTS
from slice_watching import published, until

from pydra_core.cli import main
from pydra_core.command import FINE

INNER = f"{NODE}/inner"
SICK = f"{DRIVER}/unhealthy"
PART = {"driver": DRIVER, "pool": INNER, "device": "part-0"}


@pytest.fixture
def parts(world):
    """What the driver finds: a card, and a part in a pool of its own; all are well."""
    made = Sickly(world.root, ("card-0", "inner/part-0", "inner/part-1"))
    made.say(**{"card_0": "healthy", "inner/part_0": "healthy", "inner/part_1": "healthy"})
    return made


def pools(slices):
    """Pool to device to keys and values of its taints."""
    found = {}
    for body in slices.values():
        devices = found.setdefault(body["spec"]["pool"]["name"], {})
        for device in body["spec"].get("devices") or []:
            devices[device["name"]] = [
                (t["key"], t.get("value", "")) for t in device.get("taints", [])
            ]
    return found


async def both(world):
    return await until(world, lambda s: {NODE, INNER} == pools(s).keys())


@pytest.mark.usefixtures("parts")
async def test_a_claim_on_a_device_of_a_further_pool_is_prepared_and_survives_restarts(world):
    driver = await world.start(PARTS)
    await driver.registered()
    before = await both(world)
    claim = await world.claim(PART)
    answer = (await driver.prepare(claim)).claims[claim.uid]
    assert [(d.pool_name, d.device_name) for d in answer.devices] == [(INNER, "part-0")]
    (content,) = world.spec_files().values()
    assert f"PART={INNER}/part-0".encode() in content
    await driver.stop()
    again = await world.start(PARTS)
    await again.registered()
    assert (await again.prepare(claim)).claims[claim.uid] == answer
    assert await world.slices() == before


@pytest.mark.usefixtures("parts")
async def test_a_lost_journal_is_read_back_from_spec_files_with_the_pool(world):
    driver = await world.start(PARTS)
    claim = await world.claim(PART)
    answer = (await driver.prepare(claim)).claims[claim.uid]
    await driver.stop(kill=True)
    world.dra_socket.with_name("journal").unlink()
    again = await world.start(PARTS)
    second = await world.claim(PART)
    refused = (await again.prepare(second)).claims[second.uid].error
    assert f"device 'part-0' of pool '{INNER}': still in the hands of claim" in refused
    assert (await again.prepare(claim)).claims[claim.uid] == answer


async def test_a_sick_device_of_a_further_pool_is_tainted_refused_and_told(world, parts):
    driver = await world.start(PARTS)
    await driver.registered()
    await both(world)
    claim = await world.claim(PART)
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
    parts.say(**{"inner/part_0": "unhealthy Hot", "inner/part_1": "unhealthy Hot"})
    wanted = {"part-0": [(SICK, "Hot")], "part-1": [(SICK, "Hot")]}
    slices = await until(world, lambda s: pools(s)[INNER] == wanted)
    assert pools(slices)[NODE] == {"card-0": []}
    other = await world.claim(PART | {"device": "part-1"})
    assert "'part-1' is unhealthy (Hot)" in (await driver.prepare(other)).claims[other.uid].error
    async with health_stream(driver.dra_socket) as call:
        async for message in call:
            told = {(d.device.pool_name, d.device.device_name): d.health for d in message.devices}
            if told.get((INNER, "part-0")) == 2:
                break
    assert told[NODE, "card-0"] == 1
    async for _ in world.api.watch("resourceclaims"):
        body = await world.api.get("resourceclaims", claim.name, "default")
        if entries := body["status"].get("devices"):
            break
    assert (entries[0]["pool"], entries[0]["device"]) == (INNER, "part-0")
    assert entries[0]["conditions"][0]["status"] == "False"
    parts.say(**{"inner/part_0": "healthy"})
    await until(world, lambda s: pools(s)[INNER]["part-0"] == [])


async def test_the_health_of_a_clusters_device_is_told_while_a_claim_of_the_node_has_it(
    world, parts
):
    driver = await world.start(PARTS)
    await driver.registered()
    before = await both(world)
    claim = await world.claim({"driver": DRIVER, "pool": "rack-a", "device": "box-0"})
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
    parts.say(**{"rack-a/box-0": "unhealthy Hot"})
    async with health_stream(driver.dra_socket) as call:
        async for message in call:
            told = {(d.device.pool_name, d.device.device_name): d.health for d in message.devices}
            if told.get(("rack-a", "box-0")) == 2:
                break
    async for _ in world.api.watch("resourceclaims"):
        body = await world.api.get("resourceclaims", claim.name, "default")
        if entries := body["status"].get("devices"):
            break
    assert (entries[0]["pool"], entries[0]["conditions"][0]["status"]) == ("rack-a", "False")
    assert pools(await world.slices()) == pools(
        before
    )  # what is not the node's is not its to publish


async def test_a_held_device_stays_tainted_when_its_whole_pool_vanishes(world, parts):
    driver = await world.start(PARTS, DISCOVER_INTERVAL="0.05")
    await driver.registered()
    await both(world)
    claim = await world.claim(PART)
    await driver.prepare(claim)
    parts.devices("card-0")
    gone = {"part-0": [(f"{DRIVER}/gone", "")]}
    await until(world, lambda s: pools(s) == {NODE: {"card-0": []}, INNER: gone})
    await driver.unprepare(claim)
    await until(world, lambda s: pools(s) == {NODE: {"card-0": []}})


async def test_a_fault_in_one_pool_leaves_the_others_to_be_published(world, parts):
    driver = await world.start(PARTS, DISCOVER_INTERVAL="0.05")
    await driver.registered()
    await both(world)
    parts.devices("card-0", "card-1", "inner/Part_0")
    slices = await until(world, lambda s: "card-1" in pools(s)[NODE])
    assert pools(slices)[INNER] == {"part-0": [], "part-1": []}
    await driver.says(f"pool '{INNER}': device name 'Part_0': must be a DNS label")
    parts.devices("card-0", "card-1")
    await until(world, lambda s: pools(s).keys() == {NODE})


@pytest.fixture
def command(world, capsys, monkeypatch):
    """Run a command of the driver's own program, and return what it says."""
    monkeypatch.setenv("COLUMNS", "200")
    program = {"__name__": "parts", "__file__": str(world.root / "parts.py")}
    exec(PARTS.replace("main(PartsDriver)", ""), program)

    def run(name, *arguments):
        flags = ("--kubelet-root", str(world.root / "kubelet"), "--node-name", NODE)
        cdi = ("--cdi-dir", str(world.cdi))
        of = None if name == "top" else program["PartsDriver"]
        with pytest.raises(SystemExit) as ended:
            main(of, [name, *flags, *cdi, *arguments])
        assert ended.value.code == FINE
        return capsys.readouterr().out

    return run


@pytest.mark.usefixtures("parts")
async def test_people_name_a_device_of_a_further_pool_with_its_pool(world, command):
    driver = await world.start(PARTS)
    await published(world, driver)
    claim = await world.claim(PART, name="ada")
    await driver.prepare(claim)
    said = command("taint", "inner/part-0", "--reason", "DustyFan")
    assert said == "inner/part-0 set aside: DustyFan (NoSchedule)\n"
    wanted = {"part-0": [(f"{DRIVER}/set-aside", "DustyFan")], "part-1": []}
    slices = await until(world, lambda s: pools(s).get(INNER) == wanted)
    assert pools(slices)[NODE] == {"card-0": []}
    command("untaint", "inner/part-0")
    await until(world, lambda s: pools(s)[INNER]["part-0"] == [])
    assert "inner/part-0" in command("top")
    (row,) = json.loads(command("top", "-o", "json"))["devices"]
    assert (row["pool"], row["device"]) == (INNER, "part-0")
    table = await asyncio.to_thread(command, "discover")
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["POOL", "DEVICE", "ATTRIBUTES", "CAPACITY"], [NODE, "card-0"], [INNER, "part-0"],
        [INNER, "part-1"],
    ]  # fmt: skip
    shown = yaml.safe_load_all(await asyncio.to_thread(command, "discover", "-o", "yaml"))
    assert [s["spec"]["pool"]["name"] for s in shown] == [NODE, INNER]


async def test_a_node_with_its_own_pool_alone_is_shown_without_pools(command, parts):
    parts.devices("card-0")
    table = await asyncio.to_thread(command, "discover")
    assert "card-0" in table
    assert "POOL" not in table
