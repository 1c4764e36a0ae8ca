"""What nobody expects of a library: signals without a name, errors that cannot be rebuilt, text that is no text."""

from __future__ import annotations

import importlib
import sys

import pytest
from saboteurs import library, make

from pydra_core.errors import DeviceBusyError, VendorCrashedError, VendorError

__all__ = ["library"]

OWN = """
from pydra_core.errors import DeviceError

class CodeError(DeviceError):
    def __init__(self, code):
        super().__init__("card-0: " + {15: "fell off the bus"}[code], device="card-0")
"""

ODD = """
import os, signal, sys
from odd_errors import CodeError
from pydra_core.errors import DeviceBusyError
from pydra_core.sdk import events, mutates, reads

@reads
def pid():
    return os.getpid()

@mutates
def killed(number):
    os.kill(os.getpid(), number)
    signal.pause()

@events
def dies(number):
    yield os.getpid()
    os.kill(os.getpid(), number)
    signal.pause()

@mutates
def forge(text):
    frame = text.encode()
    os.write(int(sys.argv[2]), len(frame).to_bytes(4, "big") + frame)
    signal.pause()

@reads
def busy():
    err = DeviceBusyError("card-0: in use")
    err.fields.update(message="who knows", self=1)
    raise err

@reads
def fell():
    raise CodeError(15)

@reads
def serial():
    return os.fsdecode(b"SN\\xff1")

@reads
def lost():
    raise FileNotFoundError(os.fsdecode(b"/sys/SN\\xff1"))
"""


@pytest.fixture
async def odd(library, tmp_path, monkeypatch):
    (tmp_path / "odd_errors.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "odd_sdk.py").write_text(ODD)
    made = make(library, module="odd_sdk", PYTHONPATH=str(tmp_path))
    try:
        yield made
    finally:
        await made.shield.close()


async def test_a_signal_without_a_name_of_its_own_is_a_crash_like_any_other(odd):
    """Libraries use real-time signals for timers and threads; a late one kills who no longer handles it."""
    with pytest.raises(VendorCrashedError) as caught:
        await odd.shield(odd.card.killed, 40)
    assert caught.value.fields["signal"] == "signal 40"
    assert "was killed by signal 40; " in str(caught.value)
    pids = []
    async for pid in odd.shield.events(odd.card.dies, 40):
        pids.append(pid)
        if len(pids) == 2:
            break
    assert pids[0] != pids[1]


async def test_an_error_whose_fields_fit_no_constructor_keeps_its_text(odd):
    with pytest.raises(VendorError, match="card-0: in use") as caught:
        await odd.shield(odd.card.busy)
    assert not isinstance(caught.value, DeviceBusyError)
    assert caught.value.fields == {"message": "who knows", "self": 1}
    assert await odd.shield(odd.card.pid)


async def test_an_error_whose_constructor_fails_keeps_its_text_and_fields(odd, monkeypatch):
    module = importlib.import_module("odd_errors")
    monkeypatch.setitem(sys.modules, "odd_errors", module)  # as the driver's own module would be
    with pytest.raises(VendorError, match="card-0: fell off the bus") as caught:
        await odd.shield(odd.card.fell)
    assert caught.value.fields == {"device": "card-0"}
    assert await odd.shield(odd.card.pid)


@pytest.mark.parametrize(
    ("forged", "says"),
    [
        ('{"t":"error","classes":["a:b\\u0000","pydra_core.errors:DeviceError"],"message":"m","fields":{},"trace":""}', "m"),
        ('{"t":"value","value":' + "[" * 20_000 + "]" * 20_000 + "}", "sent rubbish"),
    ],
    ids=("a class without a name", "nested without end"),
)  # fmt: skip
async def test_no_answer_however_odd_keeps_the_caller_waiting(odd, forged, says):
    with pytest.raises(VendorError, match=says):
        await odd.shield(odd.card.forge, forged)
    await odd.shield.reload(odd.card)
    assert await odd.shield(odd.card.pid)


async def test_text_that_is_no_unicode_is_the_calls_error_and_costs_no_worker(odd):
    before = await odd.shield(odd.card.pid)
    with pytest.raises(VendorError, match="what it returned is no JSON"):
        await odd.shield(odd.card.serial)
    with pytest.raises(VendorError, match=r"raised FileNotFoundError: /sys/SN\?1"):
        await odd.shield(odd.card.lost)
    assert await odd.shield(odd.card.pid) == before
