from __future__ import annotations

import asyncio

import pytest
from driver_world import CARDS, DRIVER, NODE
from slice_watching import published, until

from pydra_testbed.objects import ObjectRef, Patch, Selection


async def test_slices_wait_for_the_registration(world):
    driver = await world.start()
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    assert await world.slices() == {}
    slices = await published(world, driver)
    ((name, body),) = slices.items()
    assert name == f"{NODE}-{DRIVER}-0000"
    assert [d["name"] for d in body["spec"]["devices"]] == ["card-0", "card-1", "card-2", "card-3"]
    node = await world.api.get("nodes", NODE)
    assert body["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


async def test_a_restart_with_the_same_inventory_writes_nothing(world):
    driver = await world.start()
    before = await published(world, driver)
    await driver.stop()
    assert await world.slices() == before
    again = await world.start(HTTP_ADDRESS="127.0.0.1:0", LOG_LEVEL="debug")
    await again.registered()
    claim = await world.claim("card-0")
    await again.prepare(claim)
    # A change made by somebody else is undone; that the writes start only then shows there were none before.
    name = next(iter(before))
    await world.api.patch(
        ObjectRef("resourceslices", name), Patch({"spec": {"devices": [{"name": "intruder"}]}})
    )
    after = await until(world, lambda s: s[name]["spec"] == before[name]["spec"])
    versions = [int(x[name]["metadata"]["resourceVersion"]) for x in (before, after)]
    generations = [x[name]["metadata"]["generation"] for x in (before, after)]
    assert generations[1] == generations[0] + 2
    assert versions[1] > versions[0]


async def test_wiped_slices_come_back(world):
    driver = await world.start()
    before = await published(world, driver)
    for _ in range(3):
        await world.api.delete_collection(
            "resourceslices", Selection(field_selector=f"spec.nodeName={NODE}")
        )
        after = await until(world, len)
        assert [s["spec"]["devices"] for s in after.values()] == [
            s["spec"]["devices"] for s in before.values()
        ]


async def test_a_slice_deleted_in_the_moment_it_is_made_comes_back(world):
    async def delete_five_times():
        times = 0
        async for event in world.api.watch("resourceslices"):
            if event.type == "ADDED":
                await world.api.delete(
                    ObjectRef("resourceslices", event.object["metadata"]["name"])
                )
                times += 1
                if times == 5:
                    return

    deleting = asyncio.ensure_future(delete_five_times())
    driver = await world.start()
    await driver.registered()
    await deleting
    assert await until(world, len)


async def test_a_watch_that_expired_is_started_anew(world):
    driver = await world.start(LOG_LEVEL="debug")
    await published(world, driver)
    world.server.faults.fail("watch", "resourceslices", 410, times=1)
    world.server.faults.drop_watches()
    await driver.says("status=410")
    await world.api.delete_collection("resourceslices", Selection())
    assert await until(world, len)


async def test_a_failing_api_server_is_retried_until_it_works(world):
    driver = await world.start()
    world.server.faults.fail("create", "resourceslices", 503, times=2)
    assert await published(world, driver)


async def test_slices_of_an_older_naming_are_replaced_and_others_left_alone(world):
    def slice_of(name, driver):
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": name},
            "spec": {
                "driver": driver,
                "nodeName": NODE,
                "pool": {"name": NODE, "generation": 5, "resourceSliceCount": 1},
                "devices": [{"name": "old"}],
            },
        }

    await world.api.create("resourceslices", slice_of("00000-old", DRIVER))
    await world.api.create("resourceslices", slice_of("theirs", "other.example"))
    driver = await world.start()
    await driver.registered()
    slices = await until(world, lambda s: f"{NODE}-{DRIVER}-0000" in s and "00000-old" not in s)
    assert slices["theirs"]["spec"]["devices"] == [{"name": "old"}]
    assert slices[f"{NODE}-{DRIVER}-0000"]["spec"]["pool"]["generation"] == 6


async def test_300_devices_are_one_pool_of_three_slices(world):
    driver = await world.start(CARDS.replace("range(4)", "range(300)"))
    await driver.registered()
    slices = await until(world, lambda s: len(s) == 3)
    pools = {tuple(s["spec"]["pool"].items()) for s in slices.values()}
    assert pools == {(("name", NODE), ("generation", 1), ("resourceSliceCount", 3))}
    names = [d["name"] for s in slices.values() for d in s["spec"]["devices"]]
    assert names == [f"card-{n}" for n in range(300)]


HOTPLUG = CARDS.replace(
    "range(4))", "range(int(self.host.joinpath(*__file__.split('/')[1:-1], 'count').read_text())))"
)


async def test_discovery_follows_the_hardware_and_survives_its_errors(world):
    (world.root / "count").write_text("2")
    driver = await world.start(HOTPLUG, DISCOVER_INTERVAL="0.05")
    await published(world, driver)
    (world.root / "count").write_text("3")
    name = f"{NODE}-{DRIVER}-0000"
    await until(world, lambda s: len(s[name]["spec"]["devices"]) == 3)
    (world.root / "count").write_text("no number")
    claim = await world.claim("card-0")
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
    await driver.says("background job failed")
    assert len((await world.slices())[name]["spec"]["devices"]) == 3
    (world.root / "count").write_text("1")
    await until(world, lambda s: len(s[name]["spec"]["devices"]) == 1)


ENDING = HOTPLUG.replace(
    "        return Inventory(",
    "        if Path(__file__).with_name('count').read_text() == '5':\n            ENDING\n        return Inventory(",
).replace("from pydra_cdi", "import asyncio\nfrom pathlib import Path\nfrom pydra_cdi", 1)


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (
            "gone = asyncio.Future(); gone.cancel(); await gone",
            "discover ended with CancelledError",
        ),
        ("raise SystemExit(1)", "discover ended with SystemExit"),
        ("raise TimeoutError('no word of the card')", "TimeoutError: no word of the card"),
    ],
)
async def test_a_discovery_that_ends_early_is_told_and_done_again(world, ending, says):
    (world.root / "count").write_text("2")
    driver = await world.start(ENDING.replace("ENDING", ending), DISCOVER_INTERVAL="0.05")
    await published(world, driver)
    (world.root / "count").write_text("5")
    await driver.says("background job failed")
    await driver.says(says)
    assert "120 seconds" not in driver.logged()
    (world.root / "count").write_text("3")
    name = f"{NODE}-{DRIVER}-0000"
    await until(world, lambda s: len(s[name]["spec"]["devices"]) == 3)


async def test_an_inventory_that_breaks_a_limit_is_logged_and_the_old_one_stays(world):
    driver = await world.start(CARDS.replace('f"card-{n}"', 'f"Card_{n}"'))
    await driver.registered()
    await driver.says("DNS label")
    assert await world.slices() == {}
    claim = await world.claim("card-0")
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""


async def test_a_node_that_does_not_exist_is_named(world):
    driver = await world.start(NODE_NAME="laptop.local")
    await driver.registered()
    await driver.says("node laptop.local: does not exist")
    assert await world.slices() == {}
