"""Events of a vendor's library: a worker of their own, begun anew after every crash."""

from __future__ import annotations

import asyncio

import pytest
from saboteurs import is_gone, library, sabotage

__all__ = ["library", "sabotage"]


async def test_a_wait_for_events_does_not_hold_up_calls(sabotage):
    stream = sabotage.shield.events(sabotage.card.blocked)
    waiter = await anext(stream)
    following = asyncio.create_task(anext(stream))
    caller = await sabotage.shield(sabotage.card.pid)
    assert caller != waiter
    assert not following.done()
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await following
    assert is_gone(waiter)
    assert await sabotage.shield(sabotage.card.pid) == caller


async def test_after_a_crash_the_generator_begins_anew_in_a_fresh_worker(
    sabotage, tmp_path, caplog
):
    path = tmp_path / "ticks"
    path.write_text("xx")
    stream = sabotage.shield.events(sabotage.card.ticks, str(path), crash_at=3)
    told = [await anext(stream), await anext(stream)]
    path.write_text("xxx")
    told += [await anext(stream) for _ in range(3)]
    assert [t["tick"] for t in told] == [1, 2, 1, 2, 3]
    assert len({t["pid"] for t in told}) == 2
    assert sabotage.ended == ["VendorCrashed"]
    (logged,) = [r for r in caplog.records if r.message.startswith("event source took")]
    assert logged.signal == "SIGSEGV"
    assert "in ticks" in logged.trace


async def test_after_an_error_too(sabotage, tmp_path):
    stream = sabotage.shield.events(sabotage.card.raises, str(tmp_path / "once"))
    assert [v async for v in stream] == ["begun", "begun", "again"]


async def test_a_stream_ends_with_its_generator_and_a_slow_reader_loses_nothing(sabotage):
    assert [v async for v in sabotage.shield.events(sabotage.card.two)] == [1, 2]
    many = [v async for v in sabotage.shield.events(sabotage.card.many, 20_000)]
    assert many == list(range(20_000))
    assert sabotage.ended == []


async def test_closing_the_shield_ends_every_stream(sabotage):
    streams = [sabotage.shield.events(sabotage.card.blocked) for _ in range(2)]
    workers = [await anext(stream) for stream in streams]
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await asyncio.sleep(0)
    await sabotage.shield.close()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(e) for e in ends] == [StopAsyncIteration] * 2
    assert all(is_gone(pid) for pid in workers)
