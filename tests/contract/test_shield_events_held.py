"""Event streams that keep crashing or hang: held by the quarantine and the limits that hold calls."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import aiohttp
import pytest
from saboteurs import QUICK, SUPPORT, is_gone, library, make, sabotage

from pydra_core.errors import VendorCrashedError, VendorQuarantinedError, VendorStuckError

__all__ = ["library", "sabotage"]

HASTY = replace(QUICK, start=0.02)
"""For a module whose import hangs: sooner given up."""


async def crash_loop(sabotage, path):
    """Read a doomed stream to its end; returns the workers it had, and the error."""
    workers = []

    async def read():
        async for pid in sabotage.shield.events(sabotage.card.doomed, path):
            workers.append(pid)  # noqa: PERF401 (a comprehension would lose them with its error)

    with pytest.raises(VendorQuarantinedError) as caught:
        await read()
    return workers, str(caught.value)


async def test_a_generator_that_keeps_crashing_is_quarantined_and_calls_go_on(
    sabotage, caplog, tmp_path
):
    (tmp_path / "doom").touch()
    workers, told = await crash_loop(sabotage, str(tmp_path / "doom"))
    assert len(set(workers)) == QUICK.crashes
    assert told.startswith("saboteur_sdk.doomed: it crashed or hung repeatedly and is tried again")
    assert sabotage.quarantined == [1]
    assert [r.operation for r in caplog.records if r.message == "operation is quarantined"] == [
        "saboteur_sdk.doomed"
    ]
    assert await crash_loop(sabotage, str(tmp_path / "doom")) == ([], told)
    assert await sabotage.shield(sabotage.card.count) == 4
    assert sabotage.ended == ["VendorCrashed"] * QUICK.crashes


async def test_after_the_quarantine_one_worker_is_a_probe_and_the_next_is_twice_as_long(
    sabotage, tmp_path
):
    path = tmp_path / "doom"
    path.touch()
    await crash_loop(sabotage, str(path))
    sabotage.now += QUICK.quarantine
    workers, told = await crash_loop(sabotage, str(path))
    assert len(workers) == 1
    assert told.partition(" is tried again in ")[2].startswith("60 s")


async def test_a_generator_that_ran_for_long_has_a_clean_record_again(library, tmp_path, caplog):
    caplog.set_level("INFO")
    made = make(library, limits=replace(QUICK, healthy=0.02))
    path = tmp_path / "doom"
    path.touch()
    await crash_loop(made, str(path))
    path.unlink()
    made.now += QUICK.quarantine
    stream = made.shield.events(made.card.doomed, str(path))
    await anext(stream)
    assert made.quarantined == [1]  # on probation
    made.now += 1
    await made.until(lambda: made.quarantined == [1, 0])
    assert "operation is no longer quarantined" in caplog.text
    path.touch()
    for _ in range(QUICK.crashes - 1):
        await anext(stream)
    await made.shield.close()


async def test_each_long_run_before_a_crash_counts_for_the_generator(sabotage, tmp_path):
    stream = sabotage.shield.events(sabotage.card.doomed, str(tmp_path / "doom"))
    await anext(stream)
    for _ in range(2 * QUICK.crashes):
        sabotage.now += QUICK.healthy
        (tmp_path / "doom").touch()
        await sabotage.until(lambda: sabotage.ended)
        (tmp_path / "doom").unlink()
        sabotage.ended.clear()
        await anext(stream)
    assert sabotage.quarantined == []


async def test_an_import_that_hangs_is_quarantined_for_events_and_calls_alike(library, caplog):
    made = make(library, limits=HASTY, SABOTEUR_HANGS="1")
    with pytest.raises(VendorQuarantinedError, match=r"saboteur_sdk\.import: it crashed or hung"):
        await anext(made.shield.events(made.card.two))
    with pytest.raises(VendorQuarantinedError, match=r"saboteur_sdk\.import"):
        await made.shield(made.card.count)
    assert made.ended == ["VendorTimeout"] * QUICK.crashes
    ends = [r for r in caplog.records if r.message == "event source took its worker down"]
    assert {(r.operation, r.during) for r in ends} == {("saboteur_sdk.two", "import")}
    await made.shield.close()


async def test_workers_that_cannot_be_killed_count_for_events_and_calls_together(library):
    """A hanging kernel lets no signal through: SIGKILL included."""
    hanging, hung = True, []

    def kill(pid, number):
        hung.append(pid)
        if not hanging:
            os.kill(pid, number)

    made = make(library, limits=HASTY, kill=kill, SABOTEUR_HANGS="1")
    stream = made.shield.events(made.card.two)
    with pytest.raises(VendorStuckError, match="2 of its workers hang in the kernel"):
        await anext(stream)
    with pytest.raises(VendorStuckError):
        await made.shield(made.card.count)
    with pytest.raises(VendorStuckError):
        await anext(made.shield.events(made.card.two))
    assert made.stuck == len(set(hung)) == HASTY.stuck
    hanging = False
    for pid in set(hung):
        os.kill(pid, signal.SIGKILL)
    await made.until(lambda: made.stuck == 0)
    await made.shield.close()


async def test_a_stream_that_is_closed_while_it_hangs_is_still_counted(library):
    made = make(library, kill=lambda _pid, _number: None)
    stream = made.shield.events(made.card.blocked)
    pid = await anext(stream)
    await stream.aclose()
    await made.until(lambda: made.stuck == 1)
    os.kill(pid, signal.SIGKILL)
    await made.until(lambda: made.stuck == 0)
    assert is_gone(pid)


async def test_calls_go_on_with_the_worker_they_have_while_none_may_be_started(library):
    made = make(library, kill=lambda _pid, _number: None)
    worker = await made.shield(made.card.pid)
    hung = []
    for _ in range(QUICK.stuck):
        stream = made.shield.events(made.card.blocked)
        hung.append(await anext(stream))
        await stream.aclose()
    await made.until(lambda: made.stuck == QUICK.stuck)
    with pytest.raises(VendorStuckError):
        await anext(made.shield.events(made.card.two))
    assert await made.shield(made.card.pid) == worker
    with pytest.raises(VendorCrashedError):
        await made.shield(made.card.change, "null")
    with pytest.raises(VendorStuckError):
        await made.shield(made.card.pid)
    for pid in hung:
        os.kill(pid, signal.SIGKILL)
    await made.until(lambda: made.stuck == 0)
    assert await made.shield(made.card.pid) != worker
    await made.shield.close()


WATCHING = f"""
import os, sys
sys.path.insert(0, {str(SUPPORT)!r})
from pydra_core import Device, DeviceHealth, Driver, Health, Inventory, main
from pydra_core.sdk import Sdk

card = Sdk("saboteur_sdk")


class WatchingDriver(Driver):
    name = "card.acme.example"

    async def discover(self):
        return Inventory(Device("card-0"))

    async def prepare(self, claim):
        return [a.prepared() for a in claim.allocations]

    async def watch_health(self):
        async for _ in self.sdk.events(card.doomed, os.environ["DOOM"]):
            yield DeviceHealth(device="card-0", health=Health.HEALTHY)


main(WatchingDriver)
"""


async def test_a_driver_whose_event_source_is_held_says_so_in_metrics_and_log(
    world, library, tmp_path
):
    (tmp_path / "doom").touch()
    environ = {"SABOTEUR": str(library), "DOOM": str(tmp_path / "doom")}
    driver = await world.start(
        WATCHING,
        HTTP_ADDRESS="127.0.0.1:0",
        PYTHONPATH=os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
        **environ,
    )
    await driver.registered()
    await driver.says("operation is quarantined operation=saboteur_sdk.doomed seconds=30")
    await driver.says("background job failed and starts again reason=VendorQuarantined")
    (address,) = {w.partition("=")[2] for w in driver.logged().split() if w.startswith("address=")}
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as got:
        metrics = await got.text()
    label = '{driver="card.acme.example",sdk="saboteur_sdk"}'
    assert f"pydra_vendor_quarantined_operations{label} 1.0" in metrics
    assert await asyncio.wait_for(driver.stop(), 20) == 0
