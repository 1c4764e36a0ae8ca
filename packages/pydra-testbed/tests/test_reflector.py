from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from pydra_testbed.objects import ObjectRef
from pydra_testbed.reflector import Reflector


@pytest.fixture
async def followed(bare):
    """A reflector of config maps, with what it reported."""
    changes = []

    def note(change):
        old, new = change.old, change.new
        changes.append((change.object["metadata"]["name"], bool(old), bool(new)))

    @asynccontextmanager
    async def running():
        reflector = Reflector(bare.api, bare.clock, "configmaps", note)
        task = asyncio.create_task(reflector.run())
        try:
            await bare.calm()
            yield reflector
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async with running() as reflector:
        yield bare, reflector, changes


async def test_changes_are_reported_as_they_happen(followed):
    cluster, reflector, changes = followed
    made = await cluster.create("configmaps", "a", data={"k": "1"})
    made["data"]["k"] = "2"
    await cluster.calm()
    await cluster.api.update("configmaps", made)
    await cluster.calm()
    await cluster.delete("configmaps", "a")
    await cluster.calm()
    assert changes == [("a", False, True), ("a", True, True), ("a", True, False)]
    assert len(reflector.store) == 0


async def test_what_happened_while_the_watch_was_expired_is_found_by_a_new_list(followed):
    cluster, reflector, changes = followed
    await cluster.create("configmaps", "stays")
    await cluster.create("configmaps", "goes")
    await cluster.calm()
    changes.clear()
    cluster.server.faults.fail("watch", "configmaps", 410)
    cluster.server.faults.drop_watches()
    await cluster.delete("configmaps", "goes")
    await cluster.create("configmaps", "comes")
    await cluster.clock.advance(1)
    await cluster.calm()
    assert sorted(changes) == [("comes", False, True), ("goes", True, False)]
    assert sorted(reflector.store.objects) == ["default/comes", "default/stays"]


async def test_a_dropped_watch_goes_on_where_it_was(followed):
    cluster, _, changes = followed
    await cluster.create("configmaps", "a")
    await cluster.calm()
    cluster.server.faults.drop_watches()
    await cluster.create("configmaps", "b")
    await cluster.clock.advance(1)
    await cluster.calm()
    assert changes == [("a", False, True), ("b", False, True)]


async def test_an_object_made_anew_under_its_name_is_gone_and_new(followed):
    cluster, _, changes = followed
    await cluster.create("configmaps", "a")
    await cluster.calm()
    cluster.server.faults.fail("watch", "configmaps", 410)
    cluster.server.faults.drop_watches()
    await cluster.delete("configmaps", "a")
    await cluster.create("configmaps", "a")
    await cluster.clock.advance(1)
    await cluster.calm()
    assert changes == [("a", False, True), ("a", True, False), ("a", False, True)]


async def test_an_answer_to_an_own_write_is_known_at_once_and_not_reported_twice(followed):
    cluster, reflector, changes = followed
    reflector.store.offer(await cluster.create("configmaps", "a"))
    assert "default/a" in reflector.store.objects
    await cluster.calm()
    assert changes == [("a", False, True)]


async def test_an_old_answer_does_not_bring_a_deleted_object_back(followed):
    cluster, reflector, _ = followed
    made = await cluster.create("configmaps", "a")
    await cluster.api.delete(ObjectRef("configmaps", "a", "default"))
    await cluster.calm()
    reflector.store.offer(made)
    assert len(reflector.store) == 0


async def test_errors_of_the_server_only_delay(bare):
    bare.server.faults.fail("list", "configmaps", 500, times=3)
    await bare.create("configmaps", "a")
    reflector = Reflector(bare.api, bare.clock, "configmaps", lambda _: None)
    task = asyncio.create_task(reflector.run())
    await bare.calm()
    assert not reflector.synced.is_set()
    await bare.clock.advance(1)
    assert reflector.synced.is_set()
    assert len(reflector.store) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
