"""The shield with real workers and a C library that really crashes; the driver around it is in test_shield_driver."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys

import pytest
from saboteurs import QUICK, is_gone, library, make, sabotage

from pydra_core.errors import (
    DeviceBusyError,
    DeviceError,
    DriverFailedError,
    TerminalError,
    VendorCrashedError,
    VendorError,
    VendorQuarantinedError,
    VendorReloadError,
    VendorStuckError,
    VendorTimeoutError,
)
from pydra_core.sdk import MIB, Sdk, events, mutates, reads

__all__ = ["library", "sabotage"]


async def failing(call, kind=VendorError):
    with pytest.raises(kind) as caught:
        await call
    return caught.value


async def test_values_go_there_and_back(sabotage):
    value = {"name": "kärte", "list": [1, 2.5, None, True], "deep": {"x": [[]]}, "": -(2**53)}
    assert await sabotage.shield(sabotage.card.echo, value) == value
    assert await sabotage.shield(sabotage.card.echo, value="named") == "named"
    assert sabotage.calls == [("import", ""), ("echo", ""), ("echo", "")]


@pytest.mark.parametrize(
    ("how", "name", "status"), [("null", "SIGSEGV", -11), ("abort", "SIGABRT", -6)]
)
async def test_a_crash_names_signal_and_call_and_is_terminal_when_it_struck_a_change(
    sabotage, caplog, how, name, status
):
    err = await failing(sabotage.shield(sabotage.card.change, how), VendorCrashedError)
    assert isinstance(err, TerminalError)
    assert str(err).startswith(f"saboteur_sdk.change: the vendor's library was killed by {name}; ")
    assert (err.fields["operation"], err.fields["signal"]) == ("saboteur_sdk.change", name)
    assert "in change" in err.fields["trace"]
    (logged,) = [r for r in caplog.records if r.message == "vendor library took its worker down"]
    assert (logged.status, logged.signal) == (status, name)
    assert "in change" in logged.trace
    assert await sabotage.shield(sabotage.card.count) == 4


async def test_a_read_that_crashed_is_asked_once_more_of_a_fresh_worker(sabotage, tmp_path):
    first = await sabotage.shield(sabotage.card.pid)
    second = await sabotage.shield(sabotage.card.crash_unless, str(tmp_path / "there"))
    assert first != second
    assert is_gone(first)
    assert sabotage.ended == ["VendorCrashed"]


async def test_a_read_that_crashes_twice_is_no_terminal_error(sabotage):
    err = await failing(sabotage.shield(sabotage.card.crash, "null"), VendorCrashedError)
    assert not isinstance(err, TerminalError)
    assert sabotage.ended == ["VendorCrashed"] * 2


async def test_a_change_is_never_repeated(sabotage, tmp_path):
    path = tmp_path / "marks"
    await failing(sabotage.shield(sabotage.card.note_and_crash, str(path)), VendorCrashedError)
    assert path.read_text() == "x"


@pytest.mark.parametrize("operation", ["leave", "out_of_python"])
async def test_an_exit_inside_a_call_is_a_crash_with_its_status(sabotage, operation):
    arguments = [4] if operation == "leave" else []
    call = sabotage.shield(getattr(sabotage.card, operation), *arguments)
    err = await failing(call, VendorCrashedError)
    assert "ended with status 4" in str(err)


async def test_a_hang_ends_at_its_deadline_and_the_log_says_where(sabotage, caplog):
    call = sabotage.shield(sabotage.card.change, "hang", timeout=0.1)
    err = await failing(call, VendorTimeoutError)
    assert isinstance(err, TerminalError)
    assert str(err).startswith("saboteur_sdk.change: no answer within 0.1 s")
    (logged,) = [r for r in caplog.records if r.message == "vendor library took its worker down"]
    assert "in change" in logged.trace
    assert await sabotage.shield(sabotage.card.count) == 4


async def test_a_hanging_read_is_not_asked_again(sabotage, tmp_path):
    call = sabotage.shield(sabotage.card.wait_for, str(tmp_path / "never"), timeout=0.05)
    assert not isinstance(await failing(call, VendorTimeoutError), TerminalError)
    assert [c for c in sabotage.calls if c[0] == "wait_for"] == [("wait_for", "VendorTimeout")]


async def test_what_a_library_prints_does_no_harm_and_is_logged_in_part(sabotage, caplog):
    caplog.set_level(logging.INFO)
    assert await sabotage.shield(sabotage.card.talk, 5000) == "done"
    await sabotage.shield.close()
    said = [r.line for r in caplog.records if r.message == "vendor library printed"]
    assert said[0] == "saboteur: opened"
    assert len(said) == QUICK.lines
    (dropped,) = [r for r in caplog.records if "more than the log takes" in r.message]
    assert dropped.lines == 10_001 - QUICK.lines


@pytest.mark.parametrize("operation", ["change", "hoard"])
async def test_memory_without_end_ends_at_the_limit(sabotage, operation):
    argument = "leak" if operation == "change" else 256 * MIB
    call = sabotage.shield(getattr(sabotage.card, operation), argument, timeout=20)
    err = await failing(call, VendorCrashedError)
    assert "it may hold 128 MiB" in str(err) or err.fields["signal"] == "SIGSEGV"
    if operation == "hoard":
        assert "ran out of memory; it may hold 128 MiB" in str(err)


async def test_errors_arrive_as_the_class_the_sdk_module_raised(sabotage):
    err = await failing(sabotage.shield(sabotage.card.busy), DeviceBusyError)
    assert (str(err), err.fields) == (
        "card-0: in use by another process; end it",
        {"device": "card-0"},
    )


async def test_of_a_class_only_the_worker_has_the_nearest_bases_are_kept(sabotage):
    err = await failing(sabotage.shield(sabotage.card.only_here), DeviceError)
    assert isinstance(err, TerminalError)
    assert (type(err).__name__, err.reason) == ("OnlyHereError", "DeviceError")
    assert "saboteur_sdk" not in sys.modules


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        ("untranslated", "saboteur_sdk.untranslated: raised LookupError: code 15; translate it"),
        ("no_json", "set is not JSON serializable"),
        ("raw_bytes", "bytes is not JSON serializable"),
        ("not_a_number", "not JSON compliant"),
    ],
)
async def test_what_the_sdk_module_did_not_translate_is_an_error_of_the_call_alone(
    sabotage, caplog, operation, says
):
    pid = await sabotage.shield(sabotage.card.pid)
    err = await failing(sabotage.shield(getattr(sabotage.card, operation)))
    assert says in str(err)
    assert type(err) is VendorError
    (logged,) = [r for r in caplog.records if "nobody translated" in r.message]
    assert f"in {operation}" in logged.trace or "in _encoded" in logged.trace
    assert await sabotage.shield(sabotage.card.pid) == pid


async def test_long_answers_and_requests_pass_and_too_long_ones_are_errors(sabotage):
    text = "x" * (3 << 20)
    assert await sabotage.shield(sabotage.card.echo, text) == text
    assert "16777216 at most" in str(await failing(sabotage.shield(sabotage.card.large, 17 << 20)))
    with pytest.raises(ValueError, match="16777216 at most"):
        await sabotage.shield(sabotage.card.echo, "x" * (17 << 20))
    with pytest.raises(TypeError):
        await sabotage.shield(sabotage.card.echo, object())


async def test_a_library_that_closes_descriptors_of_others_costs_its_worker(sabotage):
    err = await failing(sabotage.shield(sabotage.card.change, "close_all"), VendorCrashedError)
    # Whoever notices first: the driver kills it, or the worker finds its descriptors gone and ends.
    assert re.search("closed its channel, for which it was killed|ended with status 1", str(err))
    assert await sabotage.shield(sabotage.card.count) == 4


async def test_an_operation_that_is_not_there_or_called_the_wrong_way_says_what_to_do(sabotage):
    missing = await failing(sabotage.shield(sabotage.card.cuont), DriverFailedError)
    assert "saboteur_sdk: has no operation cuont, only: " in str(missing)
    wrong = await failing(sabotage.shield(sabotage.card.two), DriverFailedError)
    assert "async for ... in self.sdk.events(...)" in str(wrong)
    other = await failing(anext(sabotage.shield.events(sabotage.card.count)), DriverFailedError)
    assert "await self.sdk(...)" in str(other)


def test_a_function_itself_is_refused_because_its_library_would_be_in_this_process(sabotage):
    def snapshot():
        raise AssertionError

    with pytest.raises(TypeError, match=r"snapshot: is no operation .* write `Sdk\("):
        sabotage.shield(snapshot)


def test_marks_refuse_what_they_do_not_fit():
    def generator():
        yield 1

    for mark in (reads, mutates):
        with pytest.raises(TypeError, match="@events marks generators"):
            mark(generator)
    with pytest.raises(TypeError, match="does not yield"):
        events(lambda: 1)
    with pytest.raises(AttributeError, match="is private"):
        _ = Sdk("saboteur_sdk")._hidden


async def test_calls_take_turns_and_a_cancelled_one_is_waited_for(sabotage, tmp_path):
    door = tmp_path / "door"
    pid = await sabotage.shield(sabotage.card.pid)
    waiting = asyncio.create_task(sabotage.shield(sabotage.card.wait_for, str(door)))
    await asyncio.sleep(0)
    behind = asyncio.create_task(sabotage.shield(sabotage.card.pid))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    door.touch()
    assert await behind == pid
    assert ("wait_for", "") in sabotage.calls


async def test_a_worker_that_dies_idle_is_replaced_at_the_next_call(sabotage, caplog):
    pid = await sabotage.shield(sabotage.card.pid)
    await sabotage.shield(sabotage.card.die_later)
    await sabotage.until(lambda: sabotage.ended)
    assert await sabotage.shield(sabotage.card.pid) != pid
    (logged,) = [r for r in caplog.records if r.message == "vendor worker ended while idle"]
    assert logged.signal == "SIGSEGV"


async def test_an_operation_that_keeps_crashing_is_quarantined_and_others_go_on(sabotage, caplog):
    card, shield = sabotage.card, sabotage.shield
    for _ in range(QUICK.crashes):
        await failing(shield(card.change, "null"), VendorCrashedError)
    err = await failing(shield(card.change, "null"), VendorQuarantinedError)
    assert "saboteur_sdk.change: it crashed or hung repeatedly and is tried again in 30 s" in str(
        err
    )
    assert len(sabotage.ended) == QUICK.crashes
    assert await shield(card.count) == 4
    assert sabotage.quarantined[-1] == 1
    assert "operation is quarantined" in caplog.text

    sabotage.now += QUICK.quarantine
    await failing(shield(card.change, "null"), VendorCrashedError)  # the probe
    sabotage.now += QUICK.quarantine
    await failing(shield(card.change, "null"), VendorQuarantinedError)  # twice as long now

    sabotage.now += QUICK.quarantine
    await shield(card.change, "count")
    assert sabotage.quarantined[-1] == 0


async def test_a_read_in_quarantine_is_probed_once_and_not_twice(sabotage):
    card, shield = sabotage.card, sabotage.shield
    await failing(shield(card.crash, "null"), VendorCrashedError)
    await failing(shield(card.crash, "null"), VendorCrashedError)  # the third crash; no fourth
    assert len(sabotage.ended) == QUICK.crashes
    sabotage.now += QUICK.quarantine
    await failing(shield(card.crash, "null"), VendorCrashedError)
    assert len(sabotage.ended) == QUICK.crashes + 1


async def test_a_library_of_no_use_any_more_gets_a_fresh_worker(sabotage, tmp_path):
    pid = await sabotage.shield(sabotage.card.pid)
    again = await sabotage.shield(sabotage.card.stale_unless, str(tmp_path / "reloaded"))
    assert again != pid
    assert sabotage.ended == [VendorReloadError.reason]
    await sabotage.shield.reload(sabotage.card)
    assert await sabotage.shield(sabotage.card.pid) not in {pid, again}
    assert is_gone(again)


async def test_a_module_that_cannot_be_loaded_says_why_at_each_call(library):
    made = make(library, SABOTEUR="/nowhere/lib.so")
    for _ in range(2):
        err = await failing(made.shield(made.card.count))
        assert (
            "SDK module saboteur_sdk: cannot be loaded: OSError: /nowhere/lib.so: cannot open"
            in str(err)
        )
    await made.shield.close()


async def test_a_worker_that_cannot_be_killed_is_given_up_and_only_so_many_are_started(library):
    """A hanging kernel lets no signal through: SIGKILL included."""
    hanging = True

    def kill(pid, number):
        if not hanging:
            os.kill(pid, number)

    made = make(library, kill=kill)
    pids = []
    for _ in range(QUICK.stuck):
        pids.append(await made.shield(made.card.pid))
        call = made.shield(made.card.change, "hang", timeout=0.02)
        err = await failing(call, VendorTimeoutError)
        assert "its worker cannot be killed: it hangs in the kernel" in str(err)
    assert len(set(pids)) == made.stuck == QUICK.stuck
    refused = await failing(made.shield(made.card.count), VendorStuckError)
    assert "2 of its workers hang in the kernel" in str(refused)

    os.kill(pids[0], signal.SIGKILL)  # the kernel let go of one
    await made.until(lambda: made.stuck < QUICK.stuck)
    assert await made.shield(made.card.count) == 4
    hanging = False
    await made.shield.close()
    assert all(is_gone(pid) for pid in pids)


def test_the_worker_of_an_empty_module_is_small_and_carries_nothing_of_the_driver(tmp_path):
    (tmp_path / "empty_sdk.py").write_text(
        "import os, sys\nfrom pydra_core.sdk import reads\nimport pydra_core.errors\n"
        "@reads\ndef look():\n"
        "    with open('/proc/self/statm') as f:\n        pages = int(f.read().split()[1])\n"
        "    return pages * os.sysconf('SC_PAGESIZE'), sorted(sys.modules)\n"
    )
    program = (
        "import asyncio, json\nfrom pydra_core._shield.shield import Shield\n"
        "from pydra_core.sdk import Sdk\n"
        "async def main():\n"
        "    shield = Shield()\n"
        "    print(json.dumps(await shield(Sdk('empty_sdk').look)))\n"
        "    await shield.close()\n"
        "asyncio.run(main())\n"
    )
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    held, loaded = json.loads(done.stdout)
    assert held <= 20 * MIB
    heavy = {"grpc", "aiohttp", "asyncio", "msgspec", "pydra_cdi", "yaml", "subprocess", "logging"}
    assert not heavy & set(loaded)
    assert done.stderr == ""


FORGER = """
import json, os, sys
from pydra_core.sdk import events, reads
frame = json.dumps({"t": "value", "value": ["no", "table"]}).encode()
os.write(int(sys.argv[2]), len(frame).to_bytes(4, "big") + frame)
@reads
def count(): return 4
@events
def two(): yield 1
"""


async def test_a_library_that_forges_what_its_worker_says_first_costs_its_worker(library, tmp_path):
    (tmp_path / "forger_sdk.py").write_text(FORGER)
    made = make(library, module="forger_sdk", PYTHONPATH=str(tmp_path))
    err = await failing(made.shield(made.card.count))
    assert "SDK module forger_sdk: its worker told rubbish of its operations" in str(err)
    again = await failing(anext(made.shield.events(made.card.two)))
    assert str(again) == str(err)
    await made.shield.close()
