"""The publisher against every kind of broken list and watch: it reports, asks again, and follows its slices."""

from __future__ import annotations

import asyncio
import json

import pytest
from driver_world import DRIVER, NODE
from unruly_api import cuts, says, streams

from pydra_core import Device
from pydra_core._api.access import Access
from pydra_core._api.client import KubeClient
from pydra_core._api.publisher import Publisher
from pydra_core._telemetry.metrics import Metrics
from pydra_core.values import Pool
from pydra_testbed.objects import Selection

NAME = f"{NODE}-{DRIVER}-0000"


def slice_body(**changes):
    metadata = {"name": NAME, "uid": "u", "resourceVersion": "1"}
    pool = {"name": NODE, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "nodeName": NODE, "pool": pool, "devices": []}
    return {"metadata": metadata, "spec": spec} | changes


def event(kind="MODIFIED", body=None):
    return (
        json.dumps({"type": kind, "object": slice_body() if body is None else body}).encode()
        + b"\n"
    )


def listing(*items, **changes):
    return json.dumps({"metadata": {"resourceVersion": "1"}, "items": list(items)} | changes)


LISTS = {
    "empty": says(""),
    "no JSON": says("<html>"),
    "cut off": says(listing(slice_body())[:-9]),
    "not UTF-8": says(b'{"items": ["\xff"]}'),
    "nested too deeply": says("[" * 100_000),
    "an array": says("[]"),
    "null": says("null"),
    "without metadata": says('{"items": []}'),
    "a version that is a number": says(listing(metadata={"resourceVersion": 5})),
    "items that are a number": says(listing(items=5)),
    "items of null": says(listing(None)),
    "an item without metadata": says(listing({"spec": {}})),
    "an item without spec": says(listing({"metadata": {"name": NAME}})),
    "an item whose pool is a list": says(listing(slice_body(spec={"driver": DRIVER, "pool": []}))),
    "an item with a generation in words": says(
        listing(slice_body(spec={"driver": DRIVER, "pool": {"generation": "many"}}))
    ),
    "a redirect": says("", 302, Location="/elsewhere"),
    "no content": says("", 204),
    "expired": says('{"message": "too old"}', 410),
    "busy": says("{}", 429, Retry_After="1"),
    "busy for a nonsense time": says("{}", 429, Retry_After="\u00b2"),
    "unauthorized once": says("{}", 401),
    "broken": says("{}", 500),
    "cut": cuts(),
}

WATCHES = {
    "ends at once": streams(),
    "an empty line": streams(b"\n"),
    "garbage": streams(b"\x00\xff garbage\n", then_hangs=True),
    "half an event": streams(event()[:-20]),
    "an array": streams(b"[]\n", then_hangs=True),
    "null": streams(b"null\n", then_hangs=True),
    "no type": streams(b'{"object": {}}\n', then_hangs=True),
    "no object": streams(b'{"type": "ADDED"}\n', then_hangs=True),
    "an object that is a list of pairs": streams(b'{"type": "ADDED", "object": [["a", 1]]}\n', then_hangs=True),
    "an event nested too deeply": streams(b'{"type":' + b"[" * 100_000 + b"\n", then_hangs=True),
    "no metadata": streams(event(body={"spec": {}}), then_hangs=True),
    "metadata of null": streams(event("DELETED", {"metadata": None}), then_hangs=True),
    "a name that is a number": streams(event(body=slice_body(metadata={"name": 5})), then_hangs=True),
    "a version in words": streams(
        event(body=slice_body(metadata={"name": NAME, "uid": "u", "resourceVersion": "x"})),
        then_hangs=True,
    ),
    "a spec of null": streams(event(body=slice_body(spec=None)), then_hangs=True),
    "expired in the middle": streams(
        event("BOOKMARK"), event("ERROR", {"code": 410, "message": "too old"}), then_hangs=True
    ),
    "an error whose code is null": streams(event("ERROR", {"code": None}), then_hangs=True),
    "a line of eight mebibytes": streams(b"x" * (8 << 20), b"\n", then_hangs=True),
    "refused": says("{}", 403),
    "expired before it began": says("{}", 410),
    "no stream": says("", 204),
    "cut": cuts(),
}  # fmt: skip


async def until(world, wanted):
    if wanted(slices := await world.slices()):
        return slices
    async for _ in world.api.watch("resourceslices"):
        if wanted(slices := await world.slices()):
            return slices
    raise AssertionError("the watch ended")


class Registered:
    """The kubelet knows the driver from the start."""

    async def wait(self):
        return


@pytest.fixture
async def publishing(unruly):
    """The publisher as it runs in a driver, without a driver's start for each of many cases."""
    client = KubeClient(Access(unruly.url, lambda: "", None))
    publisher = Publisher(client, DRIVER, NODE, Registered(), Metrics(DRIVER))
    publisher.want([Pool(NODE, (Device("card-0"), Device("card-1")))])
    running = []

    def start():
        running.append(asyncio.ensure_future(publisher.run()))
        return publisher

    yield start
    assert not running[0].done(), "an answer got past the publisher's own boundary"
    running[0].cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await client.close()


async def assert_follows(unruly):
    """The publisher sees what happens to its slices: a wiped one comes back."""
    await unruly.api.all_used()
    for _ in range(2):
        slices = await until(unruly.world, len)
        assert [d["name"] for d in slices[NAME]["spec"]["devices"]] == ["card-0", "card-1"]
        await unruly.world.api.delete_collection("resourceslices", Selection())


@pytest.mark.parametrize("what", LISTS)
async def test_after_a_broken_list_slices_are_published(unruly, publishing, what):
    unruly.api.plan("list", LISTS[what])
    publishing()
    await assert_follows(unruly)
    assert "/elsewhere" not in unruly.api.seen


@pytest.mark.parametrize("what", WATCHES)
async def test_after_a_broken_watch_slices_are_followed(unruly, publishing, what):
    unruly.api.plan("watch", WATCHES[what])
    publishing()
    await assert_follows(unruly)


NODES = ["", "null", "[]", "{}", '{"metadata": null}', '{"metadata": {"uid": 5}}', "[" * 100_000]


@pytest.mark.parametrize("content", NODES, ids=lambda c: c[:20] or "empty")
async def test_after_a_broken_node_slices_are_published(unruly, publishing, content):
    unruly.api.plan("get", says(content))
    publishing()
    await assert_follows(unruly)


WRITES = {
    "no answer": cuts(),
    "no JSON": says("created!", 201),
    "null": says("null", 201),
    "no object of ours": says('{"kind": "Status"}', 201),
    "something else than was sent": says(json.dumps(slice_body(spec={"driver": 5})), 201),
    "exists already": says('{"message": "exists"}', 409),
    "nested too deeply": says("[" * 100_000, 201),
}


@pytest.mark.parametrize("what", WRITES)
async def test_after_a_broken_answer_to_a_write_slices_are_published(unruly, publishing, what):
    unruly.api.plan("post", WRITES[what])
    publishing()
    await assert_follows(unruly)


async def test_slices_of_others_stay_when_the_server_ignores_the_field_selector(unruly, publishing):
    theirs = slice_body(metadata={"name": "theirs"}) | {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
    }
    theirs["spec"] = theirs["spec"] | {"driver": "other.example"}
    made = await unruly.world.api.create("resourceslices", theirs)
    unruly.api.plan("list", says(listing(made)))
    publishing()
    await until(unruly.world, lambda s: NAME in s)
    assert (await unruly.world.slices())["theirs"] == made
