"""The demo as text for people: plain lines that stream, at 80 columns, with and without colour."""

from __future__ import annotations

import re
from functools import singledispatchmethod

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pydra_testbed.demo import events

_UID = re.compile(
    r"(?<![0-9a-f])([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])"
)
_LABEL = 10


class TextTeller:
    """Prints each event as it comes. UUIDs are cut to their first eight digits."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def tell(self, event: events.Event) -> None:
        self._tell(event)

    @singledispatchmethod
    def _tell(self, event: object) -> None:
        raise TypeError(f"no words for {type(event).__name__}")

    @_tell.register
    def _(self, event: events.HostBuilt) -> None:
        self._title(
            f"Machine {event.host} was built in a folder, for the driver to find", event.seconds
        )

    @_tell.register
    def _(self, event: events.DriverStarted) -> None:
        self._title(
            f"Driver {event.driver} registered with the kubelet of node {event.node}", event.seconds
        )

    @_tell.register
    def _(self, event: events.SlicesPublished) -> None:
        table = Table(
            "NAME", "NODE", "DRIVER", "POOL", "AGE", box=None, pad_edge=False, header_style="dim"
        )
        for row in event.rows:
            table.add_row(row.name, row.node, row.driver, row.pool, f"{row.age}s")
        self._console.print(Padding(table, (0, 0, 0, 2), expand=False))
        devices = [device for row in event.rows for device in row.devices]
        self._line("devices", ", ".join(devices))

    @_tell.register
    def _(self, event: events.Applied) -> None:
        self._title(f"Applied {event.file}")
        self._line("", ", ".join(event.objects), "dim")

    @_tell.register
    def _(self, event: events.ClaimAllocated) -> None:
        self._line("allocated", f"claim {event.claim}: {'; '.join(event.devices)}")

    @_tell.register
    def _(self, event: events.DriverCalled) -> None:
        claims = f"{event.claims} claim" + ("s" if event.claims != 1 else "")
        outcome = "" if event.outcome == "OK" else f" {event.outcome}"
        self._line(
            "gRPC",
            f"{event.version} {event.method}, {claims}: {event.milliseconds:.1f} ms{outcome}",
        )

    @_tell.register
    def _(self, event: events.DriverLogged) -> None:
        self._line("driver log", "", "red")
        for line in event.lines:
            self._console.print(Text(f"    {line}", "dim"))

    @_tell.register
    def _(self, event: events.SpecWritten) -> None:
        self._line("CDI spec", event.file)
        for name, env in event.devices:
            self._line("", f"device {name}", "dim")
            for variable in env:
                self._line("", f"  {variable}", "dim")

    @_tell.register
    def _(self, event: events.PodFinished) -> None:
        for line in event.output.splitlines() or ["(no output)"]:
            self._line(
                f"pod {event.pod}", line, "bold green" if event.phase == "Succeeded" else "bold red"
            )
        if event.phase != "Succeeded":
            self._line("", f"phase {event.phase}: {event.why}", "red")

    @_tell.register
    def _(self, event: events.CleanedUp) -> None:
        self._title("Deleted everything that was applied", event.seconds)
        self._line("left", f"{event.claims} claims, {event.specs} spec files")

    @_tell.register
    def _(self, event: events.PodWaits) -> None:
        self._line(f"pod {event.pod}", f"waits, as told: {event.reason}", "bold yellow")
        self._line("scheduler", event.message)

    @_tell.register
    def _(self, event: events.PodExplained) -> None:
        self._line("explain", f"pydra explain pod/{event.pod} says:", "dim")
        for line in event.text.splitlines():
            self._console.print(Text(f"    {line}"))

    @_tell.register
    def _(self, event: events.Finished) -> None:
        pods = f"{event.succeeded} of {event.succeeded + event.failed} pods succeeded"
        waiting = f", {event.waiting} waiting, as told" if event.waiting else ""
        self._console.print(f"\n{pods}{waiting}; nothing is left of the testbed", style="bold")

    @_tell.register
    def _(self, _event: events.Interrupted) -> None:
        self._console.print("interrupted: everything was stopped and removed")

    @_tell.register
    def _(self, _event: events.Broken) -> None:
        """The command line says it, on standard error."""

    def _title(self, text: str, seconds: float | None = None) -> None:
        took = f" ({seconds:.2f} s)" if seconds is not None else ""
        self._console.print()
        self._console.print(Text(text + took, "bold"))

    def _line(self, label: str, text: str, style: str = "") -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=_LABEL)
        grid.add_column(overflow="fold")
        grid.add_row(Text(label, "cyan"), Text(_UID.sub(r"\1", text), style))
        self._console.print(Padding(grid, (0, 0, 0, 2), expand=False))
