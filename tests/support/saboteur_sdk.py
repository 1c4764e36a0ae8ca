"""The SDK module of a library that misbehaves (`c/saboteur.c`); the worker of the shield runs it, tests name it.

Environment: SABOTEUR is the library's file; with SABOTEUR_HANGS the import does not end.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from pathlib import Path

from pydra_core.errors import DeviceBusyError, DeviceError, TerminalError, VendorReloadError
from pydra_core.sdk import events, mutates, reads

_card = ctypes.CDLL(os.environ["SABOTEUR"])
_card.card_open()
if "SABOTEUR_HANGS" in os.environ:
    _card.card_hang()
_loads = 0


class OnlyHereError(DeviceError, TerminalError):
    """A class that the driver's process does not have."""


@reads
def count():
    return _card.card_count()


@reads
def echo(value):
    return value


@reads
def pid():
    return os.getpid()


@reads
def crash(how):
    getattr(_card, f"card_{how}")()


@mutates
def change(how):
    getattr(_card, f"card_{how}")()


@reads
def leave(status):
    _card.card_exit(status)


@reads
def talk(lines):
    _card.card_print(lines)
    return "done"


@reads
def crash_unless(path):
    """Crash until the file is there: the next worker finds it."""
    if not Path(path).exists():
        Path(path).touch()
        _card.card_null()
    return os.getpid()


@mutates
def note_and_crash(path):
    with Path(path).open("a") as f:
        f.write("x")
    _card.card_null()


@reads
def stale_unless(path):
    if not Path(path).exists():
        Path(path).touch()
        raise VendorReloadError("card: the kernel module was reloaded", module="card")
    return os.getpid()


@reads
def busy():
    raise DeviceBusyError("card-0: in use by another process; end it", device="card-0")


@reads
def only_here():
    raise OnlyHereError("card-0: burnt; replace it", device="card-0")


@reads
def untranslated():
    raise LookupError("code 15")


@reads
def no_json():
    return {1, 2}


@reads
def raw_bytes():
    return b"serial"


@reads
def not_a_number():
    return float("nan")


@reads
def large(size):
    return "x" * size


@reads
def hoard(size):
    return len(bytearray(size))


@reads
def out_of_python():
    sys.exit(4)


@reads
def wait_for(path):
    """Return when somebody made the file."""
    while not Path(path).exists():
        time.sleep(0.005)
    return "seen"


@mutates
def die_later():
    """Answer, and crash when nobody asks anything."""
    threading.Timer(0.01, _card.card_null).start()


@events
def ticks(path, crash_at=0):
    """Yield a number for each byte of a file, and crash at one of them, once."""
    told = 0
    while True:
        size = Path(path).stat().st_size
        while told < size:
            told += 1
            if told == crash_at and not Path(f"{path}.crashed").exists():
                Path(f"{path}.crashed").touch()
                _card.card_null()
            yield {"tick": told, "pid": os.getpid()}
        time.sleep(0.005)


@events
def blocked():
    yield os.getpid()
    _card.card_hang()


@events
def doomed(path):
    """Yield the present state, and crash when the file is there."""
    yield os.getpid()
    while not Path(path).exists():
        time.sleep(0.005)
    _card.card_null()


@events
def two():
    yield 1
    yield 2


@events
def many(count):
    yield from range(count)


@events
def raises(path):
    yield "begun"
    if not Path(path).exists():
        Path(path).touch()
        raise LookupError("event set lost")
    yield "again"
