"""Which operations an SDK module has, as its worker told; asked before anything is sent."""

from __future__ import annotations

import msgspec

from pydra_core.errors import DriverFailedError, VendorError
from pydra_core.sdk import EVENTS, Operation, SdkSpec


class Table:
    """The marked functions of one SDK module and what they are."""

    def __init__(self, spec: SdkSpec, said: object = None) -> None:
        """Take what a worker said.

        Raises:
            VendorError: it said something else.
        """
        self._spec = spec
        try:
            self._kinds = msgspec.convert(said or {}, dict[str, str])
        except msgspec.ValidationError as err:
            raise VendorError(
                f"SDK module {spec.module}: its worker told rubbish of its operations: {err}; something in it writes to"
                " descriptors that are not its own"
            ) from err

    def kind(self, name: str) -> str:
        """`reads`, `mutates` or `events`; empty if there is no such operation."""
        return self._kinds.get(name, "")

    def names(self) -> list[str]:
        """All of them, sorted."""
        return sorted(self._kinds)

    def check(self, operation: Operation, *, events: bool) -> None:
        """Refuse what is not there or is called the wrong way.

        Raises:
            DriverFailedError: the driver's author must act.
        """
        kind = self.kind(operation.name)
        if not kind:
            has = ", ".join(self.names()) or "none"
            raise DriverFailedError(
                f"SDK module {self._spec.module}: has no operation {operation.name}, only: {has}; mark the function with"
                " @reads, @mutates or @events"
            )
        if (kind == EVENTS) != events:
            how = "await self.sdk(...)" if events else "async for ... in self.sdk.events(...)"
            raise DriverFailedError(f"{operation}: is marked @{kind}; write `{how}`")
