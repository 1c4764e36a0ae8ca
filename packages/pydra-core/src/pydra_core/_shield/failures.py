"""The errors a driver sees: built from how a worker ended, or rebuilt from what its SDK module raised."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence

from pydra_core._shield.conversation import Late, Outcome
from pydra_core._shield.process import Death
from pydra_core._shield.wire import Failure
from pydra_core.errors import (
    PydraError,
    TerminalError,
    VendorCrashedError,
    VendorError,
    VendorQuarantinedError,
    VendorStuckError,
    VendorTimeoutError,
)
from pydra_core.sdk import MIB, Operation, SdkSpec

_UNKNOWN = "whether it changed anything is unknown, and it is not repeated"
LOADING = "import"
"""Stands for loading the SDK module where operations are named; no function can be called so."""
_REPORT = "the driver's log has the trace: report it to the library's vendor"
_ALMOST = 0.75


class _TerminalCrashError(VendorCrashedError, TerminalError):
    """A crash in an operation that changes hardware."""


class _TerminalTimeoutError(VendorTimeoutError, TerminalError):
    """A hang in an operation that changes hardware."""


def of(
    operation: Operation, outcome: Outcome, seconds: float, *, mutates: bool
) -> PydraError | None:
    """The error an outcome is, if it is one."""
    match outcome:
        case Death():
            return crashed(operation, outcome, mutates=mutates)
        case Late():
            return late(operation, seconds, outcome.death, mutates=mutates)
        case Failure():
            return rebuilt(operation, outcome)
        case _:
            return None


def crashed(operation: Operation, death: Death, *, mutates: bool) -> VendorCrashedError:
    """The worker ended under an operation."""
    kind = _TerminalCrashError if mutates else VendorCrashedError
    unknown = f"; {_UNKNOWN}" if mutates else ""
    return kind(
        f"{operation}: the vendor's library {_end_of(operation.spec, death)}{unknown}; {_REPORT}",
        operation=str(operation),
        signal=death.signal,
        trace=death.trace,
    )


def late(
    operation: Operation, seconds: float, death: Death, *, mutates: bool
) -> VendorTimeoutError:
    """The deadline of an operation passed, and its worker was killed, or could not be."""
    kind = _TerminalTimeoutError if mutates else VendorTimeoutError
    unknown = f"; {_UNKNOWN}" if mutates else ""
    hangs = (
        "its worker cannot be killed: it hangs in the kernel; look at the kernel log (`dmesg`)"
        if death.stuck
        else "its worker was replaced; the driver's log says where it hung"
    )
    return kind(
        f"{operation}: no answer within {seconds:g} s, and {hangs}{unknown}",
        operation=str(operation),
        seconds=seconds,
        trace=death.trace,
    )


def quarantined(operation: Operation, seconds: float) -> VendorQuarantinedError:
    """The operation crashed too often of late."""
    return VendorQuarantinedError(
        f"{operation}: it crashed or hung repeatedly and is tried again in {seconds:.0f} s; {_REPORT}",
        operation=str(operation),
        seconds=seconds,
    )


def stuck(spec: SdkSpec, workers: int) -> VendorStuckError:
    """No further worker is started beside so many that hang in the kernel."""
    return VendorStuckError(
        f"{spec.module}: {workers} of its workers hang in the kernel and cannot be killed; look at the"
        " kernel log (`dmesg`) and reboot the node",
        workers=workers,
    )


def rebuilt(operation: Operation, failure: Failure) -> PydraError:
    """The error the SDK module raised, as the same class if this process has it loaded.

    Nothing is imported on a worker's word. Of a class that only the worker knows, the nearest bases are taken.
    """
    fields = failure.fields
    if failure.classes:
        try:
            return _class_of(failure.classes)(failure.message, **fields)
        except Exception:  # noqa: BLE001 (a constructor of its own does what it likes; the caller must not wait for ever)
            return _plain(failure.message, fields)
    if operation.name == LOADING:
        return _plain(
            f"SDK module {operation.spec.module}: cannot be loaded: {failure.message}; install what it imports where"
            " this driver finds it",
            fields,
        )
    return _plain(
        f"{operation}: raised {failure.message}; translate it in the SDK module to an error that says what to do",
        fields,
    )


def _plain(message: str, fields: Mapping[str, object]) -> VendorError:
    """An error with whatever fields the worker named, also those that are no keywords."""
    err = VendorError(message)
    err.fields.update(fields)
    return err


def _class_of(names: Sequence[str]) -> type[PydraError]:
    known = [kind for name in names if (kind := _loaded(name))]
    if _loaded(names[0]):
        return known[0]
    nearest = [k for k in known if not any(k is not o and issubclass(o, k) for o in known)]
    return type(names[0].rpartition(":")[2], tuple(nearest), {}) if nearest else VendorError


def _loaded(name: str) -> type[PydraError] | None:
    module, _, path = name.partition(":")
    kind = getattr(sys.modules.get(module), path, None)
    return kind if isinstance(kind, type) and issubclass(kind, PydraError) else None


def _end_of(spec: SdkSpec, death: Death) -> str:
    """How it ended, in words."""
    if death.trace.startswith("MemoryError") or "\nMemoryError" in death.trace:
        return _over(spec, "ran out of memory")
    if death.broke:
        return f"{death.broke}, for which it was killed"
    how = f"was killed by {death.signal}" if death.signal else f"ended with status {death.status}"
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # The kernel counts the driver's memory at the fork as the worker's own peak.
    if spec.memory and death.peak > max(own, spec.memory * _ALMOST):
        return _over(spec, f"{how}, holding {death.peak // MIB} MiB")
    return how


def _over(spec: SdkSpec, how: str) -> str:
    limit = f"; it may hold {spec.memory // MIB} MiB" if spec.memory else ""
    return f"{how}{limit}"
