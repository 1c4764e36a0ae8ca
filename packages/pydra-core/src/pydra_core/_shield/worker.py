"""The process that holds a vendor's library. Started by `spawn.py` as a program, never imported by the driver.

Nothing but small parts of the standard library is loaded before the vendor's SDK module: what is resident here
is resident on every node. The standard `json` refuses what is no JSON (bytes, sets), where msgspec would turn it
into something the driver did not expect, and is four megabytes smaller.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias

_LONGEST_TRACE = 16_000
_END = object()
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
"""Text that is no Unicode must fail here, as an error of its call: the driver takes its escapes for rubbish."""
_decode = json.JSONDecoder().raw_decode
_PR_SET_PDEATHSIG = 1
_HEADER = 4
_CHUNK = 1 << 16
"""Bytes read at a time: Python allocates them all, and a megabyte is made of page faults."""

_Function: TypeAlias = Callable[..., Any]


class _Channel:
    """Length-prefixed frames on two pipes. The driver sends one and waits for the answer before the next."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests = requests
        self._answers = answers

    def receive(self) -> Any:
        """One request, decoded; None when the driver closed its end or died."""
        data = os.read(self._requests, _CHUNK)
        while len(data) < _HEADER or len(data) < _HEADER + int.from_bytes(data[:_HEADER], "big"):
            more = os.read(self._requests, _CHUNK)
            if not more:
                return None
            data += more
        return _decode(str(data[_HEADER:], "utf-8"))[0]

    def send(self, answer: bytes) -> None:
        frame = len(answer).to_bytes(_HEADER, "big") + answer
        sent = os.write(self._answers, frame)
        while sent < len(frame):
            sent += os.write(self._answers, frame[sent : sent + _CHUNK])


def main(requests_fd: int, answers_fd: int, trace_fd: int) -> None:
    """Load the SDK module the driver names and call its functions until the driver closes the channel."""
    for fd in (requests_fd, answers_fd, trace_fd):
        os.set_inheritable(fd, False)  # programs that a library starts get none of them
    faulthandler.enable(trace_fd, all_threads=True)
    channel = _Channel(requests_fd, answers_fd)
    start = channel.receive()
    if start is None:
        return
    _bind_to(start["parent"])
    _limit(start["memory"])
    sys.path[:] = dict.fromkeys([*start["path"], *sys.path])  # a `PYTHONPATH` of its own counts too
    boundary = _Boundary(trace_fd, start["longest"])
    operations = _load(start["module"], channel, boundary)
    while operations and (request := channel.receive()):
        _serve(operations, request, channel, boundary)


def _bind_to(parent: int) -> None:
    """Die with the driver, also while the library sits in C code."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(0)


def _limit(memory: int | None) -> None:
    """Bound what the library may hold, dump no core, and be the first to go when the node runs out of memory."""
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with (
        contextlib.suppress(OSError),
        open("/proc/self/oom_score_adj", "w", encoding="ascii") as f,  # noqa: PTH123 (pathlib is a megabyte)
    ):
        f.write("1000")


def _load(module: str, channel: _Channel, boundary: _Boundary) -> dict[str, _Function]:
    """Import the SDK module and tell the driver its operations, or why it cannot be imported."""
    found: dict[str, _Function] = {}

    def load() -> dict[str, str]:
        members = vars(importlib.import_module(module)).items()
        found.update({n: v for n, v in members if callable(v) and n[0] != "_" and _kind(v)})
        return {name: _kind(value) for name, value in found.items()}

    good, answer = boundary.outcome(load)
    channel.send(answer)
    return found if good else {}


def _kind(value: object) -> str:
    kind = getattr(value, "__dict__", {}).get("__pydra_kind__", "")
    return kind if isinstance(kind, str) else ""


def _serve(
    operations: dict[str, _Function], request: Any, channel: _Channel, boundary: _Boundary
) -> None:
    name, args, kwargs = request
    function = operations[name]
    if _kind(function) != "events":
        channel.send(boundary.outcome(lambda: function(*args, **kwargs))[1])
        return
    generator = _begun(function, args, kwargs)
    good = True
    while good:
        good, answer = boundary.outcome(lambda: next(generator, _END))
        channel.send(answer)


def _begun(function: _Function, args: Any, kwargs: Any) -> Iterator[Any]:
    """The generator; arguments that do not fit are an error of its first step."""
    yield from function(*args, **kwargs)


class _Boundary:
    """What an operation returned or raised, encoded for the driver."""

    def __init__(self, trace_fd: int, longest: int) -> None:
        self._trace_fd = trace_fd
        self._longest = longest

    def outcome(self, call: Callable[[], Any]) -> tuple[bool, bytes]:
        """Call, and return whether it returned, and the answer."""
        try:
            value = call()
            return (False, b'{"t": "end"}') if value is _END else (True, self._encoded(value))
        except MemoryError as err:
            self._out_of_memory(err)
        except Exception as err:  # noqa: BLE001 (the boundary of one operation)
            said = json.dumps(_failure(err), default=str, ensure_ascii=False)
            return False, said.encode(errors="replace")

    def _encoded(self, value: Any) -> bytes:
        try:
            encoded = b'{"t":"value","value":' + _encode(value).encode() + b"}"
        except (TypeError, ValueError, RecursionError) as err:
            raise TypeError(f"what it returned is no JSON: {err}; return plain values") from err
        if len(encoded) > self._longest:
            raise ValueError(f"it returned {len(encoded)} bytes of JSON; {self._longest} at most")
        return encoded

    def _out_of_memory(self, err: MemoryError) -> NoReturn:
        """After this nothing here can be relied on: leave a trace and go."""
        os.write(self._trace_fd, _trace(err).encode())
        os._exit(1)


def _failure(err: Exception) -> dict[str, Any]:
    """An error as the driver can rebuild it: the names of its classes, or only its text if it was not translated."""
    errors = sys.modules.get("pydra_core.errors")
    root = errors.PydraError if errors else None
    if root and isinstance(err, root):
        classes = [c for c in type(err).__mro__ if issubclass(c, root)]
        names = [f"{c.__module__}:{c.__qualname__}" for c in classes]
        said = {"classes": names, "message": str(err), "fields": err.fields}
    else:
        last = _trace(err).rstrip().rpartition("\n")[2]
        said = {"classes": [], "message": last, "fields": {"type": type(err).__name__}}
    return {"t": "error", "trace": _trace(err), **said}


def _trace(err: BaseException) -> str:
    import traceback  # noqa: PLC0415 (not resident until something fails)

    return "".join(traceback.format_exception(err))[-_LONGEST_TRACE:]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
