"""Making a fake machine misbehave while drivers run on it: calls that fail, crash or hang, GPUs lost, events."""

from __future__ import annotations

from enum import IntEnum

from pydra_nvidia_fake.layout import EVENTS, NONE, Event, Fault, State

XID = 0x8
_ANY = -1


class Code(IntEnum):
    """Some of NVML's return codes, for `fail`."""

    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    DRIVER_NOT_LOADED = 9
    FUNCTION_NOT_FOUND = 13
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    LIB_RM_VERSION_MISMATCH = 18
    IN_USE = 19
    INSUFFICIENT_RESOURCES = 23
    UNKNOWN = 999


class _Kind(IntEnum):
    FAIL = 0
    SEGV = 1
    ABORT = 2
    HANG = 3
    DELAY = 4


class Trouble:
    """What `FakeHost` can do to itself. `symbol` is the C function, `*` all of them; `gpu` an index, None for any.

    `times` is how often, None for as long as it is not mended. Later faults come after earlier ones.
    """

    def __init__(self, state: State) -> None:
        self.state = state

    def fail(
        self, symbol: str, code: int = Code.UNKNOWN, *, gpu: int | None = None, times: int | None = None
    ) -> None:  # fmt: skip
        """Let a call return a code."""
        self._fault(symbol, _Kind.FAIL, code, gpu, times)

    def crash(
        self, symbol: str, *, gpu: int | None = None, times: int | None = None, abort: bool = False
    ) -> None:
        """Let a call write to address 0, or abort: the end of the process either way."""
        self._fault(symbol, _Kind.ABORT if abort else _Kind.SEGV, 0, gpu, times)

    def hang(self, symbol: str, *, gpu: int | None = None, times: int | None = None) -> None:
        """Let a call never return."""
        self._fault(symbol, _Kind.HANG, 0, gpu, times)

    def delay(
        self, symbol: str, milliseconds: int, *, gpu: int | None = None, times: int | None = None
    ) -> None:
        """Let a call take its time, and then do what it does."""
        self._fault(symbol, _Kind.DELAY, milliseconds, gpu, times)

    def mend(self) -> None:
        """Forget all faults."""
        for fault in self.state.faults:
            fault.symbol = b""

    def lose(self, gpu: int, *, xid: int = 79) -> None:
        """Let a GPU fall off the bus: it reports an XID, and answers nothing any more."""
        self.event(gpu, XID, xid)
        self.state.gpus[gpu].lost = 1

    def find(self, gpu: int) -> None:
        """Let a lost GPU answer again."""
        self.state.gpus[gpu].lost = 0

    def xid(self, gpu: int, number: int, instance: tuple[int, int] | None = None) -> None:
        """Report an XID, of a GPU or of one of its MIG devices: GPU instance and compute instance."""
        self.event(gpu, XID, number, instance)

    def event(
        self, gpu: int, kind: int, data: int = 0, instance: tuple[int, int] | None = None
    ) -> None:
        """Report an event of NVML's type `kind`."""
        gpu_instance, compute_instance = instance or (NONE, NONE)
        event = Event(kind, data, gpu, gpu_instance, compute_instance)
        number = self.state.n_events
        self.state.events[number % EVENTS] = event
        self.state.n_events = number + 1

    @property
    def calls(self) -> int:
        """How many calls of NVML were begun, by all processes."""
        return int(self.state.calls)

    def _fault(
        self, symbol: str, kind: _Kind, value: int, gpu: int | None, times: int | None
    ) -> None:
        free = next((f for f in self.state.faults if not f.symbol or f.left == 0), None)
        if free is None:
            raise ValueError(
                f"fake NVML: no room for a fault in {symbol}; mend those there are first"
            )
        which = _ANY if gpu is None else gpu
        left = _ANY if times is None else times
        said = Fault(b"", which, kind, value, left)
        for name in ("gpu", "kind", "value", "left"):
            setattr(free, name, getattr(said, name))
        free.symbol = symbol.encode()  # last: from here on it is seen
