"""One GPU in trouble while claims are prepared: the others are given out, and the error names GPU and call."""

from __future__ import annotations

import asyncio
import re

import aiohttp
from nvidia_world import error, nvidia, slices_of, until

__all__ = ["nvidia"]


async def test_while_nvml_hangs_for_one_claim_others_are_prepared(nvidia):
    host = nvidia.build("h100x8")
    driver = await nvidia.serve()
    first = await nvidia.gpus("gpu-7")
    assert await error(driver.prepare, first) == ""
    waiting = await nvidia.gpus("gpu-0", parameters=slices_of("Short"))
    host.hang("*")
    begun = host.calls
    hanging = asyncio.ensure_future(driver.prepare(waiting))
    await until(lambda: host.calls > begun)
    for device in ("gpu-1", "gpu-2"):
        claim = await nvidia.gpus(device)
        assert await error(driver.prepare, claim) == ""
        assert await error(driver.unprepare, claim) == ""
    assert await error(driver.unprepare, first) == ""
    assert not hanging.done()
    hanging.cancel()


async def test_a_crash_while_a_gpu_is_set_names_gpu_signal_and_call_and_stops_nothing_else(nvidia):
    host = nvidia.build("h100x8")
    host.gpus[0].state.compute_mode = 3
    host.crash("nvmlDeviceSetComputeMode", gpu=0)
    driver = await nvidia.serve()
    claim = await nvidia.gpus("gpu-0", parameters=slices_of("Short"))
    said = await error(driver.prepare, claim)
    assert said.startswith("TerminalError: VendorCrashed: ")
    assert f"GPU {host.gpus[0].uuid}: nvmlDeviceSetComputeMode ended by SIGSEGV" in said
    other = await nvidia.gpus("gpu-1", parameters=slices_of("Short"))
    assert await error(driver.prepare, other) == ""
    host.mend()
    assert await error(driver.unprepare, claim) == ""


async def test_lost_gpus_and_reported_errors_taint_their_gpu_and_refuse_it_alone(nvidia):
    host = nvidia.build("h100x8")
    driver = await nvidia.serve(LOG_LEVEL="debug")
    await driver.registered()
    await until(lambda: driver.logged().count("kind=watched") == 8)
    for number in (13, 31, 43, 45) * 20:
        host.xid(5, number)
    host.xid(1, 48)
    host.lose(2)
    tainted = await until(nvidia.taints, lambda found: len(found) == 2)
    assert tainted == {"gpu-1": "Xid48", "gpu-2": "GpuLost"}
    for device, says in (("gpu-2", "GpuLost"), ("gpu-1", "XID 48"), ("gpu-5", "")):
        said = await error(driver.prepare, await nvidia.gpus(device))
        assert says in said
        assert bool(said) == bool(says)


async def test_error_counters_are_told_to_prometheus_by_minor_number(nvidia):
    host = nvidia.build("h100x8")
    host.gpus[3].state.ecc_unc_aggregate = 5
    host.gpus[4].state.remapped_corr = 2
    driver = await nvidia.serve(LOG_LEVEL="debug", HTTP_ADDRESS="127.0.0.1:0")
    await driver.registered()
    await until(lambda: driver.logged().count("kind=watched") == 8)
    host.xid(3, 48)
    await until(nvidia.taints)
    (address,) = re.findall(r"address=(\S+)", driver.logged())
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as got:
        lines = (await got.text()).splitlines()
    for line in (
        'pydra_nvidia_ecc_errors_total{driver="gpu.nvidia.com",gpu="3",kind="uncorrected"} 5.0',
        'pydra_nvidia_remapped_rows_total{driver="gpu.nvidia.com",gpu="4",kind="correctable"} 2.0',
        'pydra_nvidia_xids_total{class="reset",driver="gpu.nvidia.com",gpu="3"} 1.0',
        'pydra_nvidia_lost{driver="gpu.nvidia.com",gpu="0"} 0.0',
    ):
        assert line in lines
    own = [line for line in lines if line.startswith("pydra_nvidia")]
    assert {word for line in own for word in re.findall(r'gpu="(\w+)"', line)} == set("01234567")
