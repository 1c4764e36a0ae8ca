"""What GPUs report by themselves: XIDs and the like, losses, and who is watched at all."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from nvidia_hosts import asked, fake_host

from pydra_nvidia.condition import EventKind
from pydra_nvidia_fake.trouble import Code

__all__ = ["asked", "fake_host"]


async def begun(machine, reports):
    """The first word on each GPU."""
    return [await anext(reports) for _ in machine.host.gpus]


async def test_each_gpu_is_said_to_be_watched_before_anything_else(asked):
    machine = asked("h100x8")
    machine.host.xid(0, 13)  # before anybody listened
    async with aclosing(machine.reports()) as reports:
        first = await begun(machine, reports)
        assert [event.kind for event in first] == [EventKind.WATCHED] * 8
        assert [event.uuid for event in first] == [gpu.uuid for gpu in machine.host.gpus]
        machine.host.xid(6, 94)
        told = await anext(reports)
    assert (told.kind, told.index, told.data) == (EventKind.XID, 6, 94)
    assert (told.uuid, told.gpu_instance) == (machine.host.gpus[6].uuid, None)


KINDS = {
    0x1: EventKind.SINGLE_BIT_ECC,
    0x2: EventKind.DOUBLE_BIT_ECC,
    0x200: EventKind.SINGLE_BIT_STORM,
    0x400: EventKind.RETIREMENT,
    0x800: EventKind.RETIREMENT_FAILED,
    0x1000: EventKind.POISON,
    0x2000: EventKind.FATAL_POISON,
    0x4000: EventKind.UNAVAILABLE,
    0x8000: EventKind.RECOVERY,
}


async def test_every_kind_of_event_has_a_word(asked):
    machine = asked("t4x1")
    machine.host.gpus[0].state.events_supported = 0xFFFF
    async with aclosing(machine.reports()) as reports:
        await begun(machine, reports)
        machine.host.event(0, 0x4)  # a power state: nobody asked
        for number, kind in KINDS.items():
            machine.host.event(0, number, 3)
            told = await anext(reports)
            assert (told.kind, told.data) == (kind, 3)


async def test_an_event_of_a_partition_names_it(asked):
    machine = asked("mixed-mig")
    async with aclosing(machine.reports()) as reports:
        await begun(machine, reports)
        machine.host.xid(2, 31, (3, 1))
        told = await anext(reports)
    assert (told.index, told.gpu_instance, told.compute_instance) == (2, 3, 1)


async def test_only_the_lost_gpu_is_told_lost_and_the_others_are_watched_on(asked):
    machine = asked("h100x8")
    async with aclosing(machine.reports()) as reports:
        await begun(machine, reports)
        machine.host.lose(3)
        xid, lost = await anext(reports), await anext(reports)
        assert (xid.kind, xid.index, xid.data) == (EventKind.XID, 3, 79)
        assert (lost.kind, lost.index, lost.uuid) == (
            EventKind.LOST,
            3,
            machine.host.gpus[3].uuid,
        )
        assert "GPU is lost" in lost.message
        machine.host.xid(7, 48)
        other = await anext(reports)
        assert (other.kind, other.index, other.data) == (EventKind.XID, 7, 48)
        machine.host.reset(3)
        again = await anext(reports)
        assert (again.kind, again.index) == (EventKind.WATCHED, 3)
        machine.host.xid(3, 31)
        assert (await anext(reports)).data == 31


async def test_a_gpu_that_cannot_be_watched_says_why_and_hinders_nobody(asked):
    machine = asked("h100x8")
    machine.host.gpus[0].state.events_supported = 0
    machine.host.fail("nvmlDeviceRegisterEvents", Code.NO_PERMISSION, gpu=1)
    machine.host.lose(2)
    async with aclosing(machine.reports(retry=60)) as reports:
        first = await begun(machine, reports)
        machine.host.xid(4, 119)
        told = await anext(reports)
    kinds = [EventKind.UNWATCHED] * 2 + [EventKind.LOST] + [EventKind.WATCHED] * 5
    assert [event.kind for event in first] == kinds
    assert first[0].message == "it reports no events"
    assert first[1].message == "nvmlDeviceRegisterEvents: Insufficient Permissions (4)"
    assert "GPU is lost" in first[2].message
    assert (told.index, told.data) == (4, 119)


async def test_a_wait_that_fails_begins_anew_and_is_no_busy_loop(asked):
    machine = asked("t4x1")
    async with aclosing(machine.reports()) as reports:
        await begun(machine, reports)
        machine.host.fail("nvmlEventSetWait_v2", Code.UNKNOWN, times=1)
        again = await anext(reports)  # in a fresh worker, which says the present state first
        assert again.kind is EventKind.WATCHED
        machine.host.xid(0, 45)
        assert (await anext(reports)).data == 45


async def test_a_storm_loses_no_event_and_no_order(asked):
    machine = asked("h100x8")
    async with aclosing(machine.reports()) as reports:
        await begun(machine, reports)
        for number in range(200):
            machine.host.xid(number % 8, number)
        told = [await asyncio.wait_for(anext(reports), 20) for _ in range(200)]
    assert [(event.index, event.data) for event in told] == [(n % 8, n) for n in range(200)]
