from __future__ import annotations

import asyncio
import json

import grpc
import pytest
from driver_world import CARDS, DRIVER, NODE, Claim

from pydra_core._proto import dra_v1_pb2, dra_v1beta1_pb2


async def test_a_claim_is_prepared_into_a_spec_file_and_unprepared_without_a_trace(world):
    driver = await world.start()
    claim = await world.claim("card-1")
    answer = await driver.prepare(claim)
    (device,) = answer.claims[claim.uid].devices
    assert list(answer.claims) == [claim.uid]
    assert (device.request_names, device.pool_name, device.device_name) == (["r0"], NODE, "card-1")
    assert device.cdi_device_ids == [f"{DRIVER}/claim={claim.uid}_r0_card-1"]
    ((name, content),) = world.spec_files().items()
    assert name == f"{DRIVER}-claim_{claim.uid}.json"
    (edited,) = json.loads(content)["devices"]
    assert edited["containerEdits"] == {"env": ["CARD_r0=card-1"]}

    gone = await driver.unprepare(claim)
    assert gone.claims[claim.uid].error == ""
    assert world.spec_files() == {}


async def test_preparing_again_gives_the_same_bytes(world):
    driver = await world.start()
    claim = await world.claim("card-0", "card-1")
    first = await driver.prepare(claim)
    files = world.spec_files()
    second = await driver.prepare(claim)
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )
    assert world.spec_files() == files


async def test_the_older_protocol_gets_the_same_devices(world):
    driver = await world.start()
    claim = await world.claim("card-0")
    new = (await driver.prepare(claim)).claims[claim.uid]
    old = (await driver.prepare(claim, api=dra_v1beta1_pb2)).claims[claim.uid]
    assert [d.cdi_device_ids for d in old.devices] == [d.cdi_device_ids for d in new.devices]
    assert (await driver.unprepare(claim, api=dra_v1beta1_pb2)).claims[claim.uid].error == ""


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_after_a_restart_the_answer_is_the_same_and_can_be_undone(world, kill):
    driver = await world.start()
    claim = await world.claim("card-2")
    before = await driver.prepare(claim)
    files = world.spec_files()
    await driver.stop(kill=kill)
    again = await world.start()
    after = await again.prepare(claim)
    assert after.SerializeToString(deterministic=True) == before.SerializeToString(
        deterministic=True
    )
    assert world.spec_files() == files
    assert (await again.unprepare(claim)).claims[claim.uid].error == ""
    assert world.spec_files() == {}


async def test_after_a_reboot_the_spec_files_are_written_again(world):
    driver = await world.start()
    claim = await world.claim("card-2")
    await driver.prepare(claim)
    files = world.spec_files()
    await driver.stop(kill=True)
    for name in files:
        (world.cdi / name).unlink()
    await world.start()
    assert world.spec_files() == files


async def test_a_spec_file_somebody_deleted_is_back_after_the_next_prepare(world):
    driver = await world.start()
    claim = await world.claim("card-2")
    await driver.prepare(claim)
    files = world.spec_files()
    for name in files:
        (world.cdi / name).unlink()
    await driver.prepare(claim)
    assert world.spec_files() == files


async def test_one_bad_claim_does_not_hurt_its_neighbours(world):
    driver = await world.start()
    good, unallocated = await world.claim("card-0"), await world.claim()
    missing = Claim("nobody", "11111111-2222-3333-4444-555555555555")
    replaced = Claim(good.name, "99999999-2222-3333-4444-555555555555")
    hostile = Claim(good.name, "../../etc/passwd")
    answer = (await driver.prepare(good, unallocated, missing, replaced, hostile)).claims
    assert len(answer) == 5
    assert answer[good.uid].error == ""
    assert "has no allocation" in answer[unallocated.uid].error
    assert "does not exist" in answer[missing.uid].error
    assert f"found {good.uid}" in answer[replaced.uid].error
    assert "is not letters" in answer[hostile.uid].error
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{good.uid}.json"]


async def test_results_of_other_drivers_are_not_ours_to_answer(world):
    driver = await world.start()
    foreign = {"driver": "other.example", "pool": NODE, "device": "x"}
    mixed, theirs = await world.claim(foreign, "card-0"), await world.claim(foreign)
    answer = (await driver.prepare(mixed, theirs)).claims
    assert [d.device_name for d in answer[mixed.uid].devices] == ["card-0"]
    assert f"no device of driver {DRIVER}" in answer[theirs.uid].error


async def test_a_subrequest_is_answered_by_its_base_name(world):
    driver = await world.start()
    claim = await world.claim("card-0", requests=["card/small"])
    (device,) = (await driver.prepare(claim)).claims[claim.uid].devices
    assert device.request_names == ["card"]


async def test_names_that_join_alike_stay_apart(world):
    source = CARDS.replace('f"card-{n}"', '["b-c", "c", "x", "y"][n]')
    driver = await world.start(source)
    claim = await world.claim("b-c", "c", requests=["a", "a-b"])
    answer = (await driver.prepare(claim)).claims[claim.uid]
    assert answer.error == ""
    assert len({d.cdi_device_ids[0] for d in answer.devices}) == 2


async def test_a_device_in_the_hands_of_a_claim_is_refused_to_another(world):
    driver = await world.start()
    first, second = await world.claim("card-0"), await world.claim("card-0")
    await driver.prepare(first)
    refused = (await driver.prepare(second, seconds=2)).claims[second.uid]
    assert f"still in the hands of claim default/{first.name}" in refused.error
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{first.uid}.json"]
    await driver.unprepare(first)
    assert (await driver.prepare(second)).claims[second.uid].error == ""


async def test_the_second_claim_gets_the_device_as_soon_as_the_first_lets_go(world):
    driver = await world.start()
    first, second = await world.claim("card-0"), await world.claim("card-0")
    await driver.prepare(first)
    waiting = asyncio.ensure_future(driver.prepare(second))
    await driver.unprepare(first)
    assert (await waiting).claims[second.uid].error == ""


async def test_shares_of_one_device_go_to_different_claims_and_are_named(world):
    driver = await world.start()
    shares = ["0a0a0a0a-0000-4000-8000-000000000001", "0a0a0a0a-0000-4000-8000-000000000002"]
    claims = [
        await world.claim({"driver": DRIVER, "pool": NODE, "device": "card-0", "shareID": share})
        for share in shares
    ]
    answer = (await driver.prepare(*claims)).claims
    assert [answer[c.uid].devices[0].share_id for c in claims] == shares
    assert len({answer[c.uid].devices[0].cdi_device_ids[0] for c in claims}) == 2
    await driver.unprepare(claims[0])
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{claims[1].uid}.json"]


async def test_unprepare_of_an_unknown_claim_succeeds_without_the_api_server(world):
    driver = await world.start(KUBECONFIG=str(_nowhere(world)))
    unknown = Claim("nobody", "11111111-2222-3333-4444-555555555555")
    assert (await driver.unprepare(unknown)).claims[unknown.uid].error == ""


async def test_without_the_api_server_known_claims_are_served_and_new_ones_say_why(world):
    driver = await world.start()
    known, new = await world.claim("card-0"), await world.claim("card-1")
    await driver.prepare(known)
    await driver.stop()
    offline = await world.start(KUBECONFIG=str(_nowhere(world)))
    answer = (await offline.prepare(known, new, seconds=2)).claims
    assert answer[known.uid].error == ""
    assert "cannot be read" in answer[new.uid].error
    assert "no answer" in answer[new.uid].error
    assert (await offline.unprepare(known)).claims[known.uid].error == ""


def _nowhere(world):
    """A kubeconfig of an API server that is away."""
    file = world.root / "nowhere"
    text = world.kubeconfig.read_text()
    file.write_text(
        "\n".join(
            x if "server:" not in x else x.split("http")[0] + "http://127.0.0.1:9"
            for x in text.splitlines()
        )
    )
    return file


RAISING = CARDS.replace(
    "        return [a.prepared",
    '        if any(a.device == "card-3" for a in claim.allocations):\n'
    '            raise RuntimeError("the card is on fire")\n'
    "        return [a.prepared",
)


async def test_a_driver_that_raises_fails_one_claim_logs_the_trace_and_serves_the_next(world):
    driver = await world.start(RAISING)
    bad, good = await world.claim("card-3"), await world.claim("card-0")
    answer = (await driver.prepare(bad, good)).claims
    assert "RuntimeError: the card is on fire" in answer[bad.uid].error
    assert answer[good.uid].error == ""
    assert (await driver.unprepare(bad)).claims[bad.uid].error == ""
    assert driver.process.returncode is None
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{good.uid}.json"]
    await driver.stop()
    log = driver.logged()
    assert "Traceback" in log
    assert "in prepare" in log
    assert f"uid={bad.uid}" in log


ENDING = RAISING.replace("from pydra_cdi", "import asyncio\nfrom pydra_cdi", 1)
CANCELLED = (
    "cancelled = asyncio.get_running_loop().create_future(); cancelled.cancel(); await cancelled"
)


@pytest.mark.parametrize(
    ("ending", "name"),
    [
        (CANCELLED, "CancelledError"),
        ("asyncio.current_task().cancel(); await asyncio.sleep(0)", "CancelledError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
async def test_a_driver_whose_code_ends_its_task_or_the_process_fails_one_claim(
    world, ending, name
):
    driver = await world.start(ENDING.replace('raise RuntimeError("the card is on fire")', ending))
    bad, good, other = [await world.claim(f"card-{n}") for n in (3, 0, 3)]
    answer = (await driver.prepare(bad, good)).claims
    assert name in answer[bad.uid].error
    assert "the driver's log has the trace" in answer[bad.uid].error
    assert answer[good.uid].error == ""
    told = (await driver.prepare(other)).claims[other.uid].error
    assert name in told  # and not that the device is in the hands of the first one
    assert list(world.spec_files()) == [f"{DRIVER}-claim_{good.uid}.json"]
    assert await driver.stop() == 0


FORGETFUL = CARDS.replace("for a in claim.allocations]", "for a in claim.allocations[1:]]")


async def test_a_driver_that_forgets_a_device_is_named_as_the_culprit(world):
    driver = await world.start(FORGETFUL)
    claim = await world.claim("card-0", "card-1")
    error = (await driver.prepare(claim)).claims[claim.uid].error
    assert "no answer for 'card-0' of request 'r0'" in error
    assert "a bug of the driver" in error


TERMINAL = CARDS.replace("import Claim,", "import Claim, HostError, TerminalError,").replace(
    "        return [a.prepared",
    "        class Broken(TerminalError, HostError):\n"
    '            reason = "Broken"\n'
    '        raise Broken("card: fuse is blown; replace it")\n'
    "        return [a.prepared",
)


async def test_a_terminal_error_says_so(world):
    driver = await world.start(TERMINAL)
    claim = await world.claim("card-0")
    error = (await driver.prepare(claim)).claims[claim.uid].error
    assert error == f"TerminalError: claim default/{claim.name}: card: fuse is blown; replace it"


SLOW = CARDS.replace("class CardDriver", "import asyncio, pathlib\n\n\nclass CardDriver").replace(
    "        return [a.prepared",
    '        with pathlib.Path(__file__).with_name("begun").open("a") as begun:\n'
    '            begun.write(f"{claim.name}\\n")\n'
    '        while not pathlib.Path(__file__).with_name("go").exists():\n'
    "            await asyncio.sleep(0.01)\n"
    "        return [a.prepared",
)


async def test_work_that_outlives_the_deadline_goes_on_and_the_retry_finds_it_done(world):
    driver = await world.start(SLOW, LOG_LEVEL="debug")
    claim = await world.claim("card-0")
    late = (await driver.prepare(claim, seconds=2)).claims[claim.uid]
    assert "its work goes on" in late.error
    before = len(driver.logged())
    retry = asyncio.ensure_future(driver.prepare(claim))
    await driver.says("service: call", after=before)  # it has arrived, and joins the work
    (world.root / "go").touch()
    assert (await retry).claims[claim.uid].error == ""
    assert (world.root / "begun").read_text() == f"{claim.name}\n"
    await driver.stop()
    assert driver.logged().count("claim prepared") == 1


async def test_an_unprepare_waits_for_the_prepare_in_flight(world):
    driver = await world.start(SLOW)
    claim = await world.claim("card-0")
    preparing = asyncio.ensure_future(driver.prepare(claim))
    other = Claim("nobody", "11111111-2222-3333-4444-555555555555")
    await driver.unprepare(other)
    unpreparing = asyncio.ensure_future(driver.unprepare(claim))
    await driver.unprepare(other)
    (world.root / "go").touch()
    assert (await preparing).claims[claim.uid].error == ""
    assert (await unpreparing).claims[claim.uid].error == ""
    assert world.spec_files() == {}


HARDWARE = CARDS.replace(
    '        return [a.prepared(ContainerEdits(env=[f"CARD_{a.request}={a.device}"])) for a in claim.allocations]',
    "        root = self.host / __file__.lstrip('/')\n"
    "        for a in claim.allocations:\n"
    "            root.with_name(a.device).write_text(claim.uid)\n"
    '            if a.device == "card-3":\n'
    '                raise RuntimeError("half-way")\n'
    '        return [a.prepared(ContainerEdits(env=["C=1"]), {"slot": 7}) for a in claim.allocations]\n'
    "\n"
    "    async def unprepare(self, prepared):\n"
    "        for d in prepared.devices:\n"
    "            (self.host / __file__.lstrip('/')).with_name(d.device).unlink(missing_ok=True)\n"
    "            (self.host / __file__.lstrip('/')).with_name('slot').write_text(str(d.state.get('slot')))\n",
)


async def test_a_driver_that_changes_hardware_undoes_it_with_what_it_kept(world):
    driver = await world.start(HARDWARE)
    claim = await world.claim("card-0")
    await driver.prepare(claim)
    assert (world.root / "card-0").exists()
    await driver.stop(kill=True)
    again = await world.start(HARDWARE)
    await again.unprepare(claim)
    assert not (world.root / "card-0").exists()
    assert (world.root / "slot").read_text() == "7"


async def test_a_prepare_that_failed_half_way_is_undone_by_unprepare(world):
    driver = await world.start(HARDWARE)
    claim = await world.claim("card-3")
    assert "half-way" in (await driver.prepare(claim)).claims[claim.uid].error
    assert (world.root / "card-3").exists()
    assert (await driver.unprepare(claim)).claims[claim.uid].error == ""
    assert not (world.root / "card-3").exists()


async def test_a_prepare_that_was_killed_half_way_is_undone_at_the_next_start(world):
    driver = await world.start(HARDWARE)
    claim = await world.claim("card-3")
    await driver.prepare(claim)
    await driver.stop(kill=True)
    await world.start(HARDWARE)
    assert not (world.root / "card-3").exists()


NOTING = HARDWARE.replace(
    "            root.with_name(a.device).write_text(claim.uid)\n",
    "            await self.note(claim, a.prepared(state={'slot': f'{a.device}-before'}))\n"
    "            root.with_name(a.device).write_text(claim.uid)\n"
    '            if a.device == "card-2" and not root.with_name("mended").exists():\n'
    "                __import__('os').kill(__import__('os').getpid(), 9)\n",
)


async def test_what_a_driver_noted_before_it_was_killed_is_what_it_undoes_with(world):
    driver = await world.start(NOTING)
    claim = await world.claim("card-1", "card-2")
    with pytest.raises(grpc.aio.AioRpcError):
        await driver.prepare(claim)
    assert await driver.ended() == -9
    (world.root / "mended").touch()
    again = await world.start(NOTING)
    assert not (world.root / "card-1").exists()
    assert (world.root / "slot").read_text() == "card-2-before"
    assert (await again.prepare(claim)).claims[claim.uid].error == ""
    assert (await again.unprepare(claim)).claims[claim.uid].error == ""
    assert (world.root / "slot").read_text() == "7"


async def test_what_a_driver_noted_of_a_prepare_that_failed_is_undone_before_the_next_try(world):
    driver = await world.start(NOTING)
    claim = await world.claim("card-3")
    assert "half-way" in (await driver.prepare(claim)).claims[claim.uid].error
    assert not (world.root / "slot").exists()
    assert "half-way" in (await driver.prepare(claim)).claims[claim.uid].error
    assert (world.root / "slot").read_text() == "card-3-before"
    assert (await driver.unprepare(claim)).claims[claim.uid].error == ""
    assert not (world.root / "card-3").exists()


SOMETIMES = HARDWARE.replace(
    "    async def unprepare",
    "    def changes(self, claim):\n"
    "        return any(a.device in ('card-1', 'card-3') for a in claim.allocations)\n"
    "\n"
    "    async def unprepare",
).replace('a.device == "card-3"', 'a.device in ("card-2", "card-3")')


async def test_hardware_is_undone_for_those_claims_only_that_change_it(world):
    driver = await world.start(SOMETIMES)
    claims = [await world.claim("card-0"), await world.claim("card-1")]
    await driver.prepare(*claims)
    await driver.unprepare(claims[0])
    assert not (world.root / "slot").exists()
    await driver.unprepare(claims[1])
    assert (world.root / "slot").read_text() == "7"
    assert (world.root / "card-0").exists()
    assert not (world.root / "card-1").exists()


async def test_a_failed_prepare_that_changes_nothing_frees_its_devices(world):
    driver = await world.start(SOMETIMES)
    failed, other = await world.claim("card-2"), await world.claim("card-2")
    assert "half-way" in (await driver.prepare(failed)).claims[failed.uid].error
    assert "half-way" in (await driver.prepare(other)).claims[other.uid].error


EARLY = "import time\nbegan = time.monotonic()\nclock = time.monotonic\ntime.monotonic = lambda: clock() - began\n"


async def test_a_node_that_has_just_booted_undoes_as_well(world):
    """Its clock is near zero; sixty seconds since the last try must not be counted from there."""
    driver = await world.start(HARDWARE)
    claim = await world.claim("card-3")
    await driver.prepare(claim)
    await driver.stop(kill=True)
    await world.start(EARLY + HARDWARE)
    assert not (world.root / "card-3").exists()


async def test_a_hundred_claims_in_one_call_are_all_answered(world):
    source = CARDS.replace("range(4)", "range(100)")
    driver = await world.start(source)
    claims = [await world.claim(f"card-{n}") for n in range(100)]
    answer = (await driver.prepare(*claims)).claims
    assert {c.uid for c in claims} == set(answer)
    assert not any(a.error for a in answer.values())
    assert len(world.spec_files()) == 100
    gone = (await driver.unprepare(*claims)).claims
    assert not any(a.error for a in gone.values())
    assert world.spec_files() == {}


async def test_parameters_for_a_driver_without_any_are_refused_on_the_claim(world):
    driver = await world.start()
    config = [{"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": {"a": 1}}}]
    claim = await world.claim("card-0", config=config)
    assert "takes none" in (await driver.prepare(claim)).claims[claim.uid].error


async def test_an_empty_call_gets_an_empty_answer(world):
    driver = await world.start()
    assert not (await driver.prepare()).claims
    assert not (await driver.prepare(api=dra_v1_pb2)).claims
