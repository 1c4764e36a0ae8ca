"""What `doctor` says of MPS: whether the keeper answers, how its daemons are, and what is promised and not held."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest
from mps_keeper_world import fake_host, keeper_world, tenant

from pydra_nvidia.condition import Condition
from pydra_nvidia.driver import NvidiaDriver
from pydra_nvidia.gpus import Gpu, Mode
from pydra_nvidia.needs import held_needs, keeper_needs
from pydra_nvidia.settings import NvidiaSettings

__all__ = ["fake_host", "keeper_world"]


@pytest.fixture
async def needs(keeper_world, monkeypatch):
    """Ask the driver on a machine whose keeper may run; returns the machine, and how to ask."""
    world = keeper_world()
    known = {"HOST_ROOT": world.host.root, "MPS": "on", "MPS_DIR": world.folder, "SHARED_GPUS": "0"}

    async def ask(**environ):
        for name, value in (known | environ).items():
            monkeypatch.setenv(f"NVIDIA_{name}", str(value))
        driver = NvidiaDriver()
        try:
            return {need.name: need for need in await driver.needs()}
        finally:
            await driver.sdk.close()

    return world, ask


async def test_a_keeper_that_nobody_started_is_what_is_said_and_no_more(needs):
    world, ask = needs
    assert await ask(MPS="off") == {}
    (need,) = (await ask(SHARES="memory,sms")).values()
    assert need.name == "MPS keeper"
    assert need.seen.startswith(f"{world.folder}/keeper.sock: nobody answers there: ")
    assert need.fix.startswith("start the keeper (chart value mps.enabled)")


async def test_what_holds_shares_is_said_of_each_gpu_that_is_shared(needs):
    world, ask = needs
    await world.start()
    found = await ask(SHARES="memory,sms")
    assert [*found] == ["MPS keeper", f"shares of {world.uuid}"]
    assert not any(need.fix for need in found.values())
    assert "held by mps-percent: 132 SMs in steps of 2" in found[f"shares of {world.uuid}"].seen
    assert f"answers at {world.folder}/keeper.sock" in found["MPS keeper"].seen
    assert [*await ask(SHARES="")] == ["MPS keeper"]


async def test_a_daemon_that_died_under_its_tenants_is_said_with_whose_pods_to_delete(needs):
    world, ask = needs
    await world.start()
    await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    fine = (await ask(SHARES="memory"))[f"MPS of {world.uuid}"]
    assert (fine.seen, fine.fix) == ("mps-percent, 0 programs of ns/claim-1", "")
    (daemon,) = world.host.mps.daemons
    os.kill(daemon, 9)
    while (await world.state()).alive:
        pass
    need = (await ask(SHARES="memory"))[f"MPS of {world.uuid}"]
    assert "its daemon died under ns/claim-1: it was ended by SIGKILL" in need.seen
    assert need.fix.startswith("delete the pods of ns/claim-1:")


async def test_what_is_promised_and_not_held_is_said_with_the_reason(needs):
    world, ask = needs
    await world.start()
    world.host.mps.starts_not("no space for MPS", 3)
    need = (await ask(SHARES="memory,sms"))[f"shares of {world.uuid}"]
    assert "lets claims ask for sms, and nothing holds them there" in need.seen
    assert "no space for MPS" in need.seen
    assert "leave the GPU out (NVIDIA_SHARED_GPUS)" in need.fix
    assert "programs take turns" in (await ask(SHARES="2"))[f"shares of {world.uuid}"].seen
    tool = world.host.mps.tool
    tool.rename(tool.with_name("elsewhere"))
    need = (await ask(SHARES="memory"))[f"shares of {world.uuid}"]
    assert "has no nvidia-cuda-mps-control; install" in need.seen
    assert need.fix


def test_of_a_gpu_that_is_cut_or_not_shared_nothing_is_asked_for():
    shared = NvidiaSettings.of({"NVIDIA_SHARES": "2", "NVIDIA_SHARED_GPUS": "0,1"})
    gpus = [
        Gpu(index=n, minor=n, uuid=f"GPU-{n}", condition=Condition(index=n), mig=mig)
        for n, mig in enumerate((Mode(current=True, pending=True), None, None))
    ]
    (need,) = held_needs(gpus, shared, {})
    assert need.name == "shares of GPU-1"
    assert "nothing is known of its multiprocessors" in need.seen


async def test_a_keeper_that_hangs_is_not_waited_for(keeper_world):
    folder = keeper_world().folder
    over = asyncio.Event()

    async def hangs(_, writer):
        await over.wait()
        writer.close()

    async with await asyncio.start_unix_server(hangs, folder / "keeper.sock"):
        (need,) = await keeper_needs(folder, patience=0.1)
        over.set()
    assert "does not answer within 0.1 s" in need.seen
    assert need.fix == "see the log of its pod"


async def test_the_keeper_is_among_the_commands_of_the_program():
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pydra_nvidia", "--help"), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asked.communicate()
    lines = [line.split() for line in said.decode().splitlines()]
    names = [line[0] for line in lines if line and line[0] in ("doctor", "mps-keeper", "run")]
    assert names == ["doctor", "mps-keeper", "run"]
    assert asked.returncode == 0


async def test_doctor_has_it_in_its_table(keeper_world):
    world = keeper_world()
    known = {"HOST_ROOT": str(world.host.root), "MPS": "on", "MPS_DIR": str(world.folder)}
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pydra_nvidia", "doctor", "--laptop", "-o", "json"),
        env=os.environ | {f"NVIDIA_{name}": value for name, value in known.items()},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asked.communicate()
    rows = {row["check"]: row for row in json.loads(said)["checks"]}
    row = rows["driver: MPS keeper"]
    assert (row["finding"], asked.returncode) == ("driver-needs", 1)
    assert "start the keeper" in row["fix"]
