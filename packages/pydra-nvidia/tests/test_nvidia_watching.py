"""How published devices are, as the driver tells: one GPU's trouble is that GPU's, and remembered until it is mended."""

from __future__ import annotations

import asyncio

import pytest
from nvidia_hosts import fake_host, nvml

from pydra_core import Health, PydraError
from pydra_nvidia.driver import NvidiaDriver
from pydra_nvidia_fake.trouble import Code

__all__ = ["fake_host"]


class Watched:
    """A driver on a machine, that was discovered, and what it says of its devices' health."""

    def __init__(self, host, said):
        self.host = host
        self.said = said
        self.driver = NvidiaDriver(host.root)
        self._healths = None

    async def discover(self):
        inventory = await self.driver.discover()
        self.names = [device.name for device in inventory.devices]
        return self.names

    async def look(self):
        """The next look, begun at once: device to health, and why."""
        await self.end()
        self._healths = self.driver.watch_health()
        return await self.more(len(self.names))

    async def reports(self, count, *xids):
        """So many observations more, after these reports, each a GPU, an XID and perhaps an instance."""
        coming = asyncio.ensure_future(self.more(count))
        listening = len(self.host.gpus)  # what is reported before that, nobody hears
        while self.said.messages.count("GPU reported") < listening:  # noqa: ASYNC110 (a worker does it)
            await asyncio.sleep(0)
        for xid in xids:
            self.host.xid(*xid)
        return await coming

    async def more(self, count):
        """So many observations more, as they come."""
        seen = [await anext(self._healths) for _ in range(count)]
        return {one.device: (one.health, one.reason, one.message) for one in seen}

    async def end(self):
        if self._healths is not None:
            await self._healths.aclose()


@pytest.fixture
async def watched(fake_host, caplog):
    caplog.set_level("DEBUG", "pydra_nvidia.watching")
    made = []

    async def make(description):
        one = Watched(fake_host(description), caplog)
        made.append(one)
        await one.discover()
        return one

    yield make
    for one in made:
        await one.end()
        await one.driver.sdk.close()


def sick(seen):
    return {device: reason for device, (health, reason, _) in seen.items() if health is not Health.HEALTHY}  # fmt: skip


async def test_an_xid_is_that_gpus_and_outlives_a_look_that_fails(watched):
    machine = await watched("h100x8")
    assert sick(await machine.look()) == {}
    seen = await machine.reports(1, (1, 48))
    assert sick(seen) == {"gpu-1": "Xid48"}
    assert machine.host.gpus[1].uuid in seen["gpu-1"][2]
    assert sick(await machine.look()) == {"gpu-1": "Xid48"}
    machine.host.fail("nvmlDeviceGetCount_v2", times=1)
    with pytest.raises(PydraError, match="nvmlDeviceGetCount"):
        await machine.look()
    assert sick(await machine.look()) == {"gpu-1": "Xid48"}


async def test_a_storm_of_programs_own_xids_makes_no_gpu_sick_and_is_counted(watched):
    machine = await watched("h100x8")
    await machine.look()
    storm = [(0, number) for number in (13, 31, 43, 45) * 8]
    assert sick(await machine.reports(1, *storm, (2, 79))) == {"gpu-2": "Xid79"}
    counted = {
        (s.labels["gpu"], s.labels["class"]): s.value
        for s in machine.driver.samples()
        if s.name == "pydra_nvidia_xids_total" and s.value
    }
    assert counted == {("0", "application"): 32, ("2", "broken"): 1}


async def test_an_xid_of_a_mig_instance_is_that_instances(watched):
    machine = await watched("mixed-mig")
    await machine.look()
    instance = machine.host.gpus[1].instances[2]
    seen = sick(await machine.reports(7, (1, 94, (instance.id, 0))))
    assert seen == {"gpu-1-mig-1g10gb-19-2": "Xid94"}
    others = [name for name in machine.names if name.startswith("gpu-2")]
    seen = sick(await machine.reports(len(others), (2, 48)))
    assert seen == dict.fromkeys(others, "Xid48")


async def test_a_lost_gpu_is_sick_and_published_and_well_when_it_is_back(watched):
    machine = await watched("h100x8")
    machine.host.lose(2)
    assert sick(await machine.look()) == {"gpu-2": "GpuLost"}
    assert await machine.discover() == [f"gpu-{n}" for n in range(8)]
    assert sick(await machine.look()) == {"gpu-2": "GpuLost"}
    lost = {s.labels["gpu"] for s in machine.driver.samples() if s.name == "pydra_nvidia_lost" and s.value}  # fmt: skip
    assert lost == {"2"}
    machine.host.reset(2)
    assert sick(await machine.look()) == {}


async def test_heat_and_rows_that_wait_or_fail_are_told_with_what_to_do(watched):
    machine = await watched("h100x8")
    hot, waits, failed = (machine.host.gpus[n].state for n in (3, 4, 5))
    hot.slowdowns = 0x40
    waits.remap_pending = 1
    failed.remap_failed = 1
    for _ in range(3):
        seen = await machine.look()
    assert sick(seen) == {
        "gpu-3": "HardwareSlowdown",
        "gpu-4": "RowRemapPending",
        "gpu-5": "RowRemapFailed",
    }
    hot.slowdowns = waits.remap_pending = 0
    assert sick(await machine.look()) == {"gpu-5": "RowRemapFailed"}
    waiting = {s.labels["gpu"] for s in machine.driver.samples() if s.name == "pydra_nvidia_waiting_for_reset" and s.value}  # fmt: skip
    assert waiting == set()


async def test_a_gpu_that_may_not_be_opened_is_not_well_and_the_others_are(watched):
    machine = await watched("h100x8")
    machine.host.fail("nvmlDeviceGetHandleByIndex_v2", Code.NO_PERMISSION, gpu=6)
    assert sick(await machine.look()) == {"gpu-6": "GpuUnreadable"}


async def test_a_gpu_that_crashes_nvml_is_named_with_the_call_and_the_others_are_asked_on(
    watched, caplog
):
    machine = await watched("h100x8")
    machine.host.crash("nvmlDeviceGetTemperature", gpu=3)
    seen = await machine.look()
    assert sick(seen) == {"gpu-3": "VendorCrashed"}
    assert "GPU 3: nvmlDeviceGetTemperature ended by SIGSEGV" in seen["gpu-3"][2]
    assert await machine.discover() == [f"gpu-{n}" for n in range(8)]
    assert "GPU takes NVML down and is not asked any more" in caplog.messages
    machine.host.mend()
    await machine.discover()
    assert sick(await machine.look()) == {}


async def test_a_machine_with_a_gpu_that_crashes_nvml_serves_the_others_from_the_start(fake_host):
    host = fake_host("phb-4")
    host.crash("nvmlDeviceGetVbiosVersion", gpu=3)
    driver = NvidiaDriver(host.root)
    try:
        assert [d.name for d in (await driver.discover()).devices] == ["gpu-0", "gpu-1", "gpu-2"]
        host.mend()
        assert len((await driver.discover()).devices) == 4
    finally:
        await driver.sdk.close()


async def test_a_library_that_crashes_for_every_gpu_is_not_blamed_on_gpus(fake_host):
    host = fake_host("t4x1")
    host.crash("nvmlDeviceGetVbiosVersion")
    driver = NvidiaDriver(host.root)
    try:
        with pytest.raises(PydraError, match="SIGSEGV"):
            await driver.discover()
    finally:
        await driver.sdk.close()


async def test_a_gpu_that_hangs_is_left_out_like_one_that_crashes(watched, monkeypatch):
    machine = await watched("h100x8")
    monkeypatch.setattr("pydra_nvidia.driver._DISCOVERY", 0.5)
    monkeypatch.setattr("pydra_nvidia.blame._LONG", 0.5)
    machine.host.hang("nvmlDeviceGetName", gpu=1)
    assert await machine.discover() == [f"gpu-{n}" for n in range(8)]
    seen = await machine.look()
    assert sick(seen) == {"gpu-1": "VendorCrashed"}
    assert "GPU 1: nvmlDeviceGetName does not end" in seen["gpu-1"][2]


async def test_a_gpu_that_crashes_who_listens_is_found_and_the_others_are_listened_to(watched):
    machine = await watched("phb-4")
    machine.host.crash("nvmlDeviceGetSupportedEventTypes", gpu=2)
    root = str(machine.host.driver_root)
    await machine.driver._blame.find(root)
    why = machine.driver._blame.guilty
    assert why == {"2": "GPU 2: nvmlDeviceGetSupportedEventTypes ended by SIGSEGV"}
    stream = machine.driver.sdk.events(nvml.reports, root, 1.0, why)
    seen = [await anext(stream) for _ in range(4)]
    assert [event["kind"] for event in seen] == ["watched", "watched", "unwatched", "watched"]
    assert sick(await machine.look()) == {"gpu-2": "VendorCrashed"}
    await stream.aclose()
