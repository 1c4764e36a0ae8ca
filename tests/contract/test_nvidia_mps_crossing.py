"""What the driver and the keeper of MPS daemons tell each other while claims come and go: the keeper is this file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from pathlib import Path

import pytest
from nvidia_world import API, error, nvidia, until

from pydra_core import Allocation, Claim, ClaimRef
from pydra_core.errors import DeviceError
from pydra_nvidia.condition import Condition
from pydra_nvidia.gpus import Gpu, Memory, MigDevice, Mode
from pydra_nvidia.parts import Part
from pydra_nvidia.sharing import Limits
from pydra_nvidia.tenancy import Tenancy

__all__ = ["nvidia"]


class Answering:
    """A keeper that lets everybody in, says who is there when it is told to, and notes what it was asked."""

    def __init__(self, folder):
        self.folder = folder
        self.asked = []
        self.tenants = {}
        self.before_daemons = None
        self.refuses, self.before_refusal = "", lambda: None
        self.able = {}
        self.over = asyncio.Event()
        self.slowly = asyncio.Event()
        self.slowly.set()

    async def met(self, reader, writer):
        ask = json.loads(await reader.readline())
        self.asked.append(ask)
        answer = {"version": 1, **await self.answer(ask)}
        writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def answer(self, ask):
        if ask["do"] == "capabilities":
            await self.slowly.wait()
            if self.able:
                return {"answer": self.able}
            return {"refusal": {"reason": "HostError", "text": "has no tool"}}
        if ask["do"] == self.refuses:
            self.before_refusal()
            return {"refusal": {"reason": "VendorError", "text": "says nothing"}}
        return {"answer": await getattr(self, ask["do"])(ask)}

    async def news(self, ask):
        if ask["seen"]:
            await self.over.wait()  # there are no more
        return 1

    async def attach(self, ask):
        self.tenants[ask["tenant"]["claim"]] = ask
        return {"env": {}, "mounts": [], "enforcement": "mps-percent"}

    async def detach(self, ask):
        gone = self.tenants.pop(ask["claim"], None)
        if any(one["gpu"]["uuid"] == ask["gpu"] for one in self.tenants.values()):
            return {"empty": False}
        return {"empty": True, "compute_mode": gone["tenant"]["compute_mode"] if gone else ""}

    async def daemons(self, ask):
        del ask
        if self.before_daemons:
            doing, self.before_daemons = self.before_daemons, None
            await doing()
        known = {"alive": True, "why": "", "pid": 1, "enforcement": "mps-percent", "clients": 0}
        return [
            {"gpu": one["gpu"]["uuid"], "tenants": [one["tenant"]], **known}
            for one in self.tenants.values()
        ]

    def detached(self):
        return [ask["claim"] for ask in self.asked if ask["do"] == "detach"]


@pytest.fixture
async def keeper():
    """A keeper at its socket."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        made = Answering(Path(folder))
        async with await asyncio.start_unix_server(made.met, made.folder / "keeper.sock"):
            yield made
            made.over.set()
            made.slowly.set()


async def by_mps(nvidia, device="gpu-0"):
    wanted = {"apiVersion": API, "kind": "GpuConfig", "sharing": {"strategy": "MPS"}}
    return await nvidia.gpus(device, parameters=wanted)


async def test_who_comes_while_the_keeper_is_looked_at_stays_and_who_is_gone_is_taken_off_in_the_end(
    keeper, nvidia
):
    host = nvidia.build("h100x8")
    claim, served = await by_mps(nvidia), asyncio.Event()

    async def comes():
        await served.wait()
        assert await error(driver.prepare, claim) == ""

    keeper.before_daemons = comes
    tenant = {"claim": "gone", "name": "ns/gone", "device": "gpu-1", "compute_mode": "unheard-of"}
    keeper.tenants["gone"] = {"gpu": {"uuid": host.gpus[1].uuid}, "tenant": tenant}
    driver = await nvidia.serve(NVIDIA_MPS="on", NVIDIA_MPS_DIR=str(keeper.folder))
    await driver.registered()
    served.set()
    await until(lambda: len(keeper.detached()) > 1)  # by two looks
    assert "a claim that is gone cannot be taken off its GPU yet" in driver.logged()
    assert "a claim that is gone was taken off its GPU" in driver.logged()
    assert set(keeper.detached()) == {"gone"}
    assert keeper.tenants.keys() == {claim.uid}


async def test_a_keeper_that_knows_nothing_of_a_gpu_is_not_one_that_is_away(keeper, nvidia):
    nvidia.build("t4x1")
    environ = {"NVIDIA_SHARES": "memory,sms", "NVIDIA_MPS": "on"}
    driver = await nvidia.serve(**environ, NVIDIA_MPS_DIR=str(keeper.folder))
    await driver.registered()
    told = "what MPS can do on a GPU cannot be told"
    await until(lambda: told in driver.logged())
    assert "MPS keeper does not answer" not in driver.logged()
    (slice_,) = (await until(nvidia.slices)).values()
    (device,) = slice_["spec"]["devices"]
    assert device["attributes"]["smEnforcement"] == {"string": "none"}
    assert "sms" not in device["capacity"]


async def test_a_lost_gpu_gives_back_its_mig_devices_too_and_is_told_as_a_device_that_is_gone(
    keeper, nvidia
):
    host = nvidia.build("mixed-mig")
    driver = await nvidia.serve(NVIDIA_MPS="on", NVIDIA_MPS_DIR=str(keeper.folder))
    wanted = {"apiVersion": API, "kind": "MigDeviceConfig", "sharing": {"strategy": "MPS"}}
    one, two, three = [
        await nvidia.gpus(device, parameters=wanted)
        for device in ("gpu-2-mig-3g40gb-9-4", "gpu-1-mig-1g10gb-19-0", "gpu-1-mig-1g10gb-19-1")
    ]
    assert await error(driver.prepare, one) == ""
    assert await error(driver.prepare, two) == ""
    keeper.refuses = "detach"
    assert "says nothing" in await error(driver.unprepare, two)  # its GPU is there
    host.lose(2)
    assert await error(driver.unprepare, one) == ""
    assert "a GPU that is gone is not set back" in driver.logged()
    keeper.refuses, keeper.before_refusal = "attach", lambda: host.lose(1)
    said = await error(driver.prepare, three)
    assert f"GPU {host.gpus[1].uuid} is lost" in said
    assert "reason=DeviceGone" in driver.logged()


class NoDriver:
    """What of a driver is asked for on the way of a MIG device."""

    def rediscover(self):
        """Nothing is to be found."""


async def test_a_keeper_that_hangs_over_a_gpu_holds_no_discovery_up(keeper):
    memory, condition = Memory(total=1 << 33), Condition(index=0)
    known = {"uuid": "GPU-1", "compute_capability": "9.0", "memory": memory, "cores": 132 * 128}
    keeper.slowly.clear()
    tenancy = Tenancy(NoDriver(), keeper.folder, patience=0.2)
    assert await tenancy.able([Gpu(index=0, condition=condition, **known)]) == {}
    assert [ask["do"] for ask in keeper.asked] == ["capabilities", "daemons"]


async def test_a_gpu_that_does_not_tell_what_it_has_gets_no_daemon_and_says_so(keeper):
    gpu = Gpu(index=0, uuid="GPU-1", compute_capability="9.0", condition=Condition(index=0))
    one = Allocation(request="gpu", pool="n", device="gpu-0")
    claim = Claim(ref=ClaimRef(namespace="ns", name="c", uid="uid"), allocations=(one,))
    tenancy = Tenancy(NoDriver(), keeper.folder)
    with pytest.raises(DeviceError, match="NVML tells no multiprocessors or memory of it"):
        await tenancy.enter(Path("/"), claim, one, Part(gpu), Limits(percent=50), keep)
    assert keeper.asked == []


async def keep(changes):
    """No journal here."""
    del changes


async def test_a_device_has_no_daemon_once_its_last_claim_left_while_the_keeper_was_away(keeper):
    gpu = Gpu(index=0, uuid="GPU-1", compute_capability="9.0", condition=Condition(index=0))
    kind = {"memory": 1 << 33, "multiprocessors": 16}
    mig = MigDevice(index=0, uuid="MIG-1", gpu_instance=1, compute_instance=0, **kind)
    part, root = Part(gpu, mig), Path("/")
    one = Allocation(request="gpu", pool="n", device="gpu-0-mig")
    claim = Claim(ref=ClaimRef(namespace="ns", name="c", uid="uid"), allocations=(one,))
    tenancy = Tenancy(NoDriver(), keeper.folder)
    await tenancy.enter(root, claim, one, part, Limits(percent=50), keep)
    assert keeper.tenants["uid"]["tenant"]["percent"] == 50
    assert await tenancy.look() == [("MIG-1", "uid")]
    assert tenancy.verdict(part).healthy
    (keeper.folder / "keeper.sock").unlink()
    assert await tenancy.look() == []
    assert tenancy.verdict(part).reason == "MpsKeeperGone"
    await tenancy.leave(root, "MIG-1", "another", last=False)
    assert not tenancy.verdict(part).healthy
    await tenancy.leave(root, "MIG-1", "uid", last=True)
    assert tenancy.verdict(part).healthy


FULL = {
    "uuid": "GPU-1",
    "compute_capability": "9.0",
    "memory": Memory(total=1 << 33),
    "cores": 132 * 128,
    "condition": Condition(index=0),
}


async def test_who_is_on_a_gpu_by_the_keepers_word_has_no_daemon_once_that_is_away(keeper):
    gpu, tenancy = Gpu(index=0, **FULL), Tenancy(NoDriver(), keeper.folder)
    for uid in ("before", "too"):
        tenant = {"claim": uid, "name": f"ns/{uid}", "device": "gpu-0"}
        keeper.tenants[uid] = {"gpu": {"uuid": "GPU-1"}, "tenant": tenant}
    assert len(await tenancy.look()) == 2
    await tenancy.leave(Path("/"), "GPU-1", "too", last=False)
    (keeper.folder / "keeper.sock").unlink()
    assert await tenancy.look() == []
    assert tenancy.verdict(Part(gpu)).reason == "MpsKeeperGone"
    other = Gpu(index=1, **FULL | {"uuid": "GPU-2"})
    assert tenancy.verdict(Part(other)).healthy


async def test_what_the_keeper_cannot_tell_any_more_is_told_with_the_reason(keeper):
    gpu, tenancy = Gpu(index=0, **FULL), Tenancy(NoDriver(), keeper.folder)
    keeper.able = {"enforcement": "mps-percent", "unit": 2, "most": 132, "why": ""}
    able = await tenancy.able([gpu])
    assert tenancy.told == able
    assert able["GPU-1"].most == 132
    keeper.able = {}
    assert await tenancy.able([gpu]) == able
    assert tenancy.told == {"GPU-1": "has no tool"}


async def test_of_a_gpu_that_is_cut_the_keeper_is_asked_nothing(keeper):
    modes = Mode(current=True, pending=True)
    assert await Tenancy(NoDriver(), keeper.folder).able([Gpu(index=0, mig=modes, **FULL)]) == {}
    assert keeper.asked == []
