"""A driver process whose vendor library crashes: one claim's error, and nothing else changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys

import grpc
import pytest
from driver_world import DRIVER as NAME
from driver_world import NODE
from saboteurs import DRIVER, SUPPORT, is_gone, library

__all__ = ["library"]

STARTED = r"vendor worker started .*pid=(\d+)"
LATE_IMPORT = DRIVER.replace(
    "        for allocation in claim.allocations:",
    "        import saboteur_sdk\n        for allocation in claim.allocations:",
)


@pytest.fixture
def environ(library):
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    return {"SABOTEUR": str(library), "PYTHONPATH": path}


@pytest.fixture
async def driver(world, environ):
    return await world.start(DRIVER, HTTP_ADDRESS="127.0.0.1:0", **environ)


def error(answer, claim):
    return answer.claims[claim.uid].error


async def worker(driver):
    await driver.says("vendor worker started")
    return int(re.findall(STARTED, driver.logged())[-1])


@pytest.mark.parametrize(
    ("how", "name", "status"), [("null", "SIGSEGV", -11), ("abort", "SIGABRT", -6)]
)
async def test_a_crash_in_prepare_is_an_error_of_that_claim_and_everything_else_stays(
    world, driver, how, name, status
):
    await driver.registered()
    kept = await world.claim("card-good-0")
    assert error(await driver.prepare(kept), kept) == ""
    socket, files, pid = world.dra_socket.stat().st_ino, world.spec_files(), await worker(driver)
    struck, other = await world.claim(f"card-{how}"), await world.claim("card-good-1")

    answer = await driver.prepare(struck, other)

    said = f"saboteur_sdk.change: the vendor's library was killed by {name}; "
    start = f"TerminalError: VendorCrashed: claim default/{struck.name}: {said}"
    assert error(answer, struck).startswith(start)
    assert error(answer, other) == ""
    await driver.says("vendor library took its worker down")
    (logged,) = re.findall(r"took its worker down .*", driver.logged())
    assert f"pid={pid} status={status} signal={name}" in logged
    assert "in change" in logged
    assert is_gone(pid)
    assert driver.process.returncode is None
    assert world.dra_socket.stat().st_ino == socket
    assert files.items() <= world.spec_files().items()
    assert (await driver.registered()).name == NAME
    for claim in (kept, other, struck):
        assert error(await driver.unprepare(claim), claim) == ""
    assert world.spec_files() == {}


async def test_claims_are_served_while_the_library_hangs_for_another(world, driver):
    await worker(driver)
    hung, quiet = await world.claim("card-hang"), await world.claim("card-quiet")
    hanging = asyncio.create_task(driver.prepare(hung))
    assert error(await driver.prepare(quiet), quiet) == ""
    assert not hanging.done()
    said = error(await hanging, hung)
    assert said.startswith("TerminalError: VendorTimeout: ")
    assert "saboteur_sdk.change: no answer within 1 s" in said


async def test_a_crash_loop_ends_in_quarantine_and_other_claims_are_unprepared_meanwhile(
    world, driver
):
    kept = await world.claim("card-good-0")
    assert error(await driver.prepare(kept), kept) == ""
    struck = await world.claim("card-null")
    texts = [error(await driver.prepare(struck), struck) for _ in range(4)]
    assert [t.removeprefix("TerminalError: ").partition(":")[0] for t in texts] == [
        *["VendorCrashed"] * 3,
        "VendorQuarantined",
    ]
    assert error(await driver.unprepare(kept), kept) == ""
    assert error(await driver.prepare(kept), kept) == ""


async def test_metrics_count_calls_crashes_and_quarantine(world, driver):
    struck = await world.claim("card-null")
    for _ in range(3):
        await driver.prepare(struck)
    await driver.says("probes served")
    address = re.search(r"probes served address=(\S+)", driver.logged())[1]
    fetched = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c"),
        f"import urllib.request as r; print(r.urlopen('http://{address}/metrics').read().decode())",
        stdout=subprocess.PIPE,
    )
    text = (await fetched.communicate())[0].decode()
    labels = f'driver="{NAME}",operation="change",reason="VendorCrashed"'
    assert f"pydra_vendor_call_failures_total{{{labels}}} 3.0" in text
    labels = f'driver="{NAME}",reason="VendorCrashed",sdk="saboteur_sdk"'
    assert f"pydra_vendor_worker_restarts_total{{{labels}}} 3.0" in text
    labels = f'driver="{NAME}",sdk="saboteur_sdk"'
    assert f"pydra_vendor_quarantined_operations{{{labels}}} 1.0" in text
    labels = f'driver="{NAME}",operation="count"'
    assert f"pydra_vendor_call_duration_seconds_count{{{labels}}}" in text


@pytest.mark.parametrize("busy", [False, True])
async def test_a_killed_driver_leaves_no_worker(world, environ, busy):
    driver = await world.start(DRIVER, PATIENCE="60", **environ)
    pid = await worker(driver)
    if busy:  # in C code, where nothing is read that could tell of the end
        claim = await world.claim("card-hang")
        with contextlib.suppress(grpc.aio.AioRpcError):
            await driver.prepare(claim, seconds=0.5)
    await driver.stop(kill=True)
    assert is_gone(pid)


async def test_a_stopped_driver_ends_its_worker_and_says_nothing_of_it(driver):
    pid = await worker(driver)
    driver.process.send_signal(signal.SIGTERM)
    assert await driver.ended() == 0
    assert is_gone(pid)
    assert "idle" not in driver.logged()
    assert "Traceback" not in driver.logged()


async def test_a_worker_killed_by_somebody_is_replaced(world, driver):
    first, second = await world.claim("card-good-0"), await world.claim("card-good-1")
    assert error(await driver.prepare(first), first) == ""
    os.kill(await worker(driver), signal.SIGKILL)
    await driver.says("vendor worker ended while idle")
    assert error(await driver.prepare(second), second) == ""
    assert len(set(re.findall(STARTED, driver.logged()))) == 2


async def test_a_driver_that_imports_its_sdk_module_does_not_start(world, environ):
    driver = await world.start(
        DRIVER.replace("card = Sdk", "import saboteur_sdk\n\ncard = Sdk"), **environ
    )
    assert await driver.ended() == 2
    assert "SDK module saboteur_sdk: it is loaded in the driver's own process" in driver.logged()
    assert "Traceback" not in driver.logged()


async def test_an_import_later_on_is_refused(world, environ):
    driver = await world.start(LATE_IMPORT, **environ)
    claim = await world.claim("card-quiet")
    assert "ImportError: SDK module saboteur_sdk" in error(await driver.prepare(claim), claim)


@pytest.mark.parametrize(
    ("arguments", "broken", "code", "says"),
    [
        (["discover"], False, 0, "card-good-0"),
        (["doctor", "-o", "json"], False, None, "loads in its worker: blocked, busy, change"),
        (["doctor", "-o", "json"], True, 1, "/nowhere/lib.so: cannot open shared object file"),
    ],
)
def test_discover_and_doctor_load_the_library_in_a_worker_too(
    tmp_path, environ, arguments, broken, code, says
):
    program = tmp_path / "driver.py"
    program.write_text(DRIVER)
    environ |= {"NODE_NAME": NODE, "KUBELET_ROOT": str(tmp_path / "none"), "COLUMNS": "200"}
    environ |= {"SABOTEUR": "/nowhere/lib.so"} if broken else {}
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        env={k: v for k, v in os.environ.items() if not k.startswith("KUBE")} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert says in done.stdout, done.stdout + done.stderr
    assert code in {done.returncode, None}  # the rest of a node is not there
    assert "Traceback" not in done.stderr
