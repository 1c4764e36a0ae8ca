from __future__ import annotations

import asyncio
import json
import re
import signal
import socket

import aiohttp
import pytest
from driver_world import CARDS, DRIVER

from pydra_core._proto import pluginregistration_v1_pb2 as registration


async def test_registration_says_what_the_kubelet_wants_to_hear_best_version_first(world):
    driver = await world.start()
    info = await driver.registered()
    assert (info.type, info.name) == ("DRAPlugin", DRIVER)
    assert list(info.supported_versions) == ["v1.DRAPlugin", "v1beta1.DRAPlugin"]
    assert info.endpoint == str(world.dra_socket)


async def test_a_refusal_is_kept_and_told(world):
    driver = await world.start(HTTP_ADDRESS="127.0.0.1:0")
    refused = registration.RegistrationStatus(
        plugin_registered=False, error="endpoint already registered"
    )
    await driver.call(
        world.registration_socket, registration, "Registration", "NotifyRegistrationStatus", refused
    )
    status, text = await _get(driver, "/readyz")
    assert (status, text) == (503, "not ready: endpoint already registered\n")


async def test_probes_and_metrics(world):
    driver = await world.start(HTTP_ADDRESS="127.0.0.1:0")
    assert await _get(driver, "/healthz") == (200, "ok\n")
    assert (await _get(driver, "/readyz"))[0] == 503
    await driver.registered()
    good, bad = await world.claim("card-0"), await world.claim()
    await driver.prepare(good, bad)
    await driver.says("published slices=1")
    _, text = await _get(driver, "/metrics")
    for line in (
        f'pydra_registered{{driver="{DRIVER}"}} 1.0',
        f'pydra_prepared_claims{{driver="{DRIVER}"}} 1.0',
        f'pydra_devices{{driver="{DRIVER}"}} 4.0',
        f'pydra_claims_total{{driver="{DRIVER}",operation="prepare",reason=""}} 1.0',
        f'pydra_claims_total{{driver="{DRIVER}",operation="prepare",reason="ClaimNotAllocated"}} 1.0',
        f'pydra_grpc_request_duration_seconds_count{{driver="{DRIVER}",method="prepare"}} 1.0',
        f'pydra_slice_writes_total{{driver="{DRIVER}",operation="create"}} 1.0',
    ):
        assert line in text
    assert good.uid not in text


async def test_ready_once_registered_and_published(world):
    driver = await world.start(HTTP_ADDRESS="127.0.0.1:0")
    await driver.registered()
    async for _ in world.api.watch("resourceslices"):
        break
    await driver.says("published slices=1")
    assert await _get(driver, "/readyz") == (200, "ok\n")


async def _probes(driver):
    await driver.says("probes served")
    return driver.logged()


async def _get(driver, path):
    address = re.search(r"probes served address=(\S+)", await _probes(driver))[1]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}{path}") as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
async def test_a_stop_is_graceful_the_sockets_go_and_claims_and_slices_stay(world, number):
    driver = await world.start()
    await driver.registered()
    async for _ in world.api.watch("resourceslices"):
        break
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    files, slices = world.spec_files(), await world.slices()
    driver.process.send_signal(getattr(signal, number))
    assert await driver.ended() == 0
    assert not world.registration_socket.exists()
    assert not world.dra_socket.exists()
    assert (world.spec_files(), await world.slices()) == (files, slices)
    assert "Traceback" not in driver.logged()


async def test_a_killed_drivers_sockets_do_not_stop_the_next(world):
    driver = await world.start()
    await driver.stop(kill=True)
    assert world.dra_socket.exists()
    again = await world.start()
    assert (await again.registered()).name == DRIVER


async def test_a_second_driver_of_the_same_name_is_refused_and_the_first_goes_on(world):
    driver = await world.start()
    second = await world.start()
    assert await second.ended() == 2
    assert "another driver of this name is running on this node" in second.logged()
    claim = await world.claim("card-0")
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"NODE_NAME": ""}, "NODE_NAME from the downward API"),
        ({"KUBECONFIG": "/does/not/exist"}, "kubeconfig /does/not/exist: cannot be used"),
        ({"KUBELET_ROOT": "/tmp/" + "x" * 100}, "shorten the kubelet root by"),
        ({"KUBELET_ROOT": "kubelet"}, "dra.sock: is not absolute"),
        ({"SOCKET_PATH": "/proc/self/x.sock"}, "/proc/self/x.sock: cannot be bound: No such file"),
        ({"REGISTRATION_SOCKET_PATH": "/proc/self/x.sock"}, "/proc/self/x.sock: cannot be bound"),
        ({"LOG_LEVEL": "loud"}, "must be one of debug"),
    ],
)
async def test_a_wrong_setting_stops_the_start_with_code_2_and_its_name(world, environ, says):
    driver = await world.start(**environ)
    assert await driver.ended() == 2
    assert says in driver.logged()
    assert "Traceback" not in driver.logged()


async def test_a_driver_name_that_is_no_domain_is_refused(world):
    driver = await world.start(
        CARDS.replace('name = "card.acme.example"', 'name = "nvidia.com/gpu"')
    )
    assert await driver.ended() == 2
    assert "must be a lower-case DNS subdomain" in driver.logged()


async def test_hung_calls_of_the_driver_do_not_hold_up_a_stop(world):
    hung = CARDS.replace(
        "        return [a.prepared",
        "        import asyncio, sys, threading\n"
        "        print('hangs with', claim.name, file=sys.stderr, flush=True)\n"
        "        await asyncio.to_thread(threading.Event().wait)\n"
        "        return [a.prepared",
    )
    driver = await world.start(hung, DRAIN_TIMEOUT="0.2")
    claims = [await world.claim(f"card-{n}") for n in range(12)]
    calls = [asyncio.ensure_future(driver.prepare(claim)) for claim in claims]
    for claim in claims:
        await driver.says(f"hangs with {claim.name}")
    driver.process.terminate()
    assert await driver.ended() == 0
    assert "stopped" in driver.logged()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_the_number_of_prepared_claims_survives_a_restart(world):
    driver = await world.start()
    await driver.prepare(await world.claim("card-0"))
    await driver.stop()
    again = await world.start(HTTP_ADDRESS="127.0.0.1:0")
    assert f'pydra_prepared_claims{{driver="{DRIVER}"}} 1.0' in (await _get(again, "/metrics"))[1]


async def test_an_address_in_use_stops_the_start_with_its_key(world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        driver = await world.start(HTTP_ADDRESS=f"127.0.0.1:{taken.getsockname()[1]}")
        assert await driver.ended() == 2
    assert "setting http_address" in driver.logged()
    assert "Traceback" not in driver.logged()


async def test_a_driver_without_a_name_is_told_so(world):
    driver = await world.start(CARDS.replace('    name = "card.acme.example"\n', ""))
    assert await driver.ended() == 2
    assert "driver CardDriver: has no name" in driver.logged()
    assert "Traceback" not in driver.logged()


async def test_json_logs_have_one_operation_id_on_every_line_of_a_call(world):
    driver = await world.start(LOG_FORMAT="json", LOG_LEVEL="debug")
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    await driver.stop()
    lines = [json.loads(line) for line in driver.logged().splitlines()]
    (done,) = [x for x in lines if x["msg"] == "claim prepared"]
    assert {"ts", "level", "logger", "claim", "uid", "devices", "ms", "op"} <= set(done)
    (call,) = [x for x in lines if x["msg"] == "call"]
    assert call["op"] == done["op"]
    assert re.fullmatch("[0-9a-f]{8}", call["op"])


async def test_a_socket_of_somebody_elses_is_not_taken_away(world):
    world.dra_socket.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(world.dra_socket))
        other.listen()
        driver = await world.start()
        assert await driver.ended() == 2
        assert "another driver of this name answers there" in driver.logged()
