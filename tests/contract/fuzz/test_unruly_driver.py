"""A whole driver while the API server misbehaves: claims are served all the time, and slices come back."""

from __future__ import annotations

import re

import yaml
from driver_world import DRIVER, NODE, Claim
from unruly_api import cuts, says, streams

from pydra_testbed.objects import Selection

NAME = f"{NODE}-{DRIVER}-0000"
UNKNOWN = Claim("nobody", "11111111-2222-3333-4444-555555555555")
EXPIRED = b'{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}\n'


async def until_published(world):
    if not await world.slices():
        async for event in world.api.watch("resourceslices"):
            if event.type == "ADDED":
                break
    assert list(await world.slices()) == [NAME]


async def assert_serving(world, driver, device="card-1"):
    claim = await world.claim(device)
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
    assert (await driver.unprepare(claim)).claims[claim.uid].error == ""


async def wipe(world):
    await world.api.delete_collection("resourceslices", Selection())


async def test_one_broken_answer_after_the_other_delays_slices_and_no_claim(unruly):
    unruly.api.plan("list", says(b"\xff not json"), says("", 410))
    unruly.api.plan("watch", streams(EXPIRED, then_hangs=True), streams(b'{"type": "ADD'))
    unruly.api.plan("get", cuts())
    driver = await unruly.start()
    await driver.registered()
    while any(unruly.api.planned.values()):
        await assert_serving(unruly.world, driver)
    await until_published(unruly.world)
    await wipe(unruly.world)
    await until_published(unruly.world)
    assert "Traceback" not in driver.logged()


async def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(unruly):
    unruly.api.plan("list", says('{"message": "too many"}', 429, Retry_After="7"))
    driver = await unruly.start()
    await driver.registered()
    await driver.says("too many")
    assert re.search(r"again_in=7\.0", driver.logged())
    await assert_serving(unruly.world, driver)


async def test_a_busy_server_is_asked_for_a_claim_again_when_it_says(unruly):
    unruly.api.plan("get", says('{"message": "too many"}', 429, Retry_After="1"))
    driver = await unruly.start(LOG_LEVEL="debug")
    await assert_serving(unruly.world, driver)
    assert re.search(r"retrying .*reason=ApiError seconds=1\.0", driver.logged())


async def test_a_token_that_was_replaced_is_read_again_and_a_claim_meanwhile_says_what_is_wrong(
    unruly,
):
    world, token = unruly.world, unruly.world.root / "token"
    unruly.api.token = "first"
    token.write_text("first\n")
    config = yaml.safe_load(world.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = unruly.url
    config["users"][0]["user"] = {"tokenFile": str(token)}
    kubeconfig = world.root / "with-token-file"
    kubeconfig.write_text(yaml.safe_dump(config))
    driver = await unruly.start(KUBECONFIG=str(kubeconfig))
    await driver.registered()
    await until_published(world)

    unruly.api.token = "second"
    early = await world.claim("card-0")
    answer = (await driver.prepare(early)).claims[early.uid]
    assert "the token is not accepted" in answer.error
    world.server.faults.drop_watches()
    await wipe(world)
    await driver.says("the token is not accepted: check the service account")
    token.write_text("second\n")
    assert (await driver.prepare(early)).claims[early.uid].error == ""
    await until_published(world)
    assert set(unruly.api.tokens) == {"Bearer first", "Bearer second"}
    assert "first" not in driver.logged()
    assert "second" not in driver.logged()


async def test_a_token_that_is_replaced_between_two_tries_costs_no_claim(unruly):
    """The kubelet rotates the file before the old token ends; a 401 means: read it again and try once more."""
    world, token = unruly.world, unruly.world.root / "token"
    token.write_text("first")
    config = yaml.safe_load(world.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = unruly.url
    config["users"][0]["user"] = {"tokenFile": str(token)}
    kubeconfig = world.root / "with-token-file"
    kubeconfig.write_text(yaml.safe_dump(config))
    driver = await unruly.start(KUBECONFIG=str(kubeconfig))

    async def rotated(request):
        token.write_text("second")
        return await says("{}", 401)(request)

    unruly.api.plan("get", rotated)
    await assert_serving(world, driver)
    assert unruly.api.tokens[-2:] == ["Bearer first", "Bearer second"]


async def test_an_api_server_that_accepts_and_says_nothing_does_not_stop_the_start(unruly):
    unruly.api.answering.clear()
    driver = await unruly.start()
    await driver.registered()
    world, claim = unruly.world, await unruly.world.claim("card-0")
    assert (await driver.unprepare(UNKNOWN)).claims[UNKNOWN.uid].error == ""
    late = (await driver.prepare(claim, seconds=3)).claims[claim.uid]
    assert f"claim default/{claim.name}" in late.error
    assert await world.slices() == {}

    unruly.api.answering.set()
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
    await until_published(world)
    await wipe(world)
    await until_published(world)
    assert "Traceback" not in driver.logged()


async def test_an_api_server_that_falls_silent_later_stops_no_claim_that_is_prepared(unruly):
    driver = await unruly.start()
    world, claim = unruly.world, await unruly.world.claim("card-0")
    await driver.registered()
    before = await driver.prepare(claim)
    unruly.api.answering.clear()
    assert await driver.prepare(claim) == before
    assert (await driver.unprepare(claim)).claims[claim.uid].error == ""
    unruly.api.answering.set()
    await assert_serving(world, driver)
