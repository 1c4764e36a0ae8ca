"""What a vendor's SDK module and its driver share: marks for the functions, and a name for the module.

The SDK module is the one module of a package that imports the vendor's library, and it runs only in the shield's
worker. A driver therefore never imports it; it holds an `Sdk`, whose attributes stand for the module's functions:

    nvml = Sdk("pydra_acme.nvml")
    ...
    cards = await self.sdk(nvml.snapshot, timeout=5)

This module is loaded in the worker too, where memory is counted: it imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

__all__ = ["MIB", "Operation", "Sdk", "SdkSpec", "events", "mutates", "named", "reads"]

MIB = 1 << 20
MARK = "__pydra_kind__"
READS, MUTATES, EVENTS = "reads", "mutates", "events"
_GENERATOR = 0x20
"""`inspect.CO_GENERATOR`, without the two megabytes of `inspect`."""

_F = TypeVar("_F", bound=Callable[..., Any])
_G = TypeVar("_G", bound=Callable[..., Iterator[Any]])
_named: dict[str, SdkSpec] = {}


def reads(function: _F) -> _F:
    """Mark a function that changes nothing: after a crash it is asked once more, of a fresh worker."""
    return _marked(function, READS)


def mutates(function: _F) -> _F:
    """Mark a function that changes hardware: it is never repeated, and a crash or a hang in it is terminal.

    Whether the change was made before the crash nobody knows; the next `prepare` or `unprepare` must look.
    """
    return _marked(function, MUTATES)


def events(function: _G) -> _G:
    """Mark a generator that blocks until something happens and yields it. It runs in a worker of its own.

    After a crash it is started anew, so it yields the present state first.
    """
    return _marked(function, EVENTS)


class SdkSpec(NamedTuple):
    """How the worker of one SDK module is started.

    Attributes:
        module: Full name of the module.
        memory: Bytes of data the worker may hold; None for no limit.
        environ: Variables on top of the driver's own, such as `LD_LIBRARY_PATH`.
    """

    module: str
    memory: int | None
    environ: Mapping[str, str]


class Operation(NamedTuple):
    """One function of an SDK module, by name."""

    spec: SdkSpec
    name: str

    def __str__(self) -> str:
        return f"{self.spec.module}.{self.name}"


class Sdk:
    """Stands for an SDK module in the driver's process; every attribute is an `Operation`.

    In a type checker's eyes it can be the module itself, with the functions' own types:

        if TYPE_CHECKING:
            from pydra_acme import nvml
        else:
            nvml = Sdk("pydra_acme.nvml")
    """

    def __init__(
        self,
        module: str,
        *,
        memory: int | None = 512 * MIB,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.spec = SdkSpec(module, memory, dict(environ or {}))
        _named.setdefault(module, self.spec)

    def __getattr__(self, name: str) -> Operation:
        if name.startswith("_"):
            raise AttributeError(
                f"SDK module {self.spec.module}: {name} is private to it; mark and call a public function"
            )
        return Operation(self.spec, name)


def named() -> Mapping[str, SdkSpec]:
    """The SDK modules this process has an `Sdk` for, by name."""
    return _named


def _marked(function: _F, kind: str) -> _F:
    code = getattr(function, "__code__", None)
    if code is not None and bool(code.co_flags & _GENERATOR) != (kind == EVENTS):
        says = "yields" if kind != EVENTS else "does not yield"
        raise TypeError(
            f"{function.__module__}.{function.__qualname__}: is marked @{kind} but {says}; @events marks generators,"
            " @reads and @mutates functions that return"
        )
    setattr(function, MARK, kind)
    return function
