"""What goes on under a daemon: its servers and their clients."""

from __future__ import annotations

from typing import NamedTuple

from pydra_core.errors import VendorError
from pydra_nvidia.mps import texts
from pydra_nvidia.mps.control import Control

_FAULT = (
    "a program's fault has ended what ran on the GPU under MPS; no program can start there before all of them, of every"
    " tenant, have ended"
)


class Use(NamedTuple):
    """How a daemon is used.

    Attributes:
        clients: Programs that are connected; None if that cannot be told now.
        trouble: What keeps programs from running; empty if nothing does.
    """

    clients: int | None
    trouble: str


async def look(control: Control) -> Use:
    """Ask every server. Never raises: what cannot be told is said in words."""
    try:
        return await (_newer(control) if control.newer else _older(control))
    except VendorError as err:
        return Use(None, str(err))


async def _older(control: Control) -> Use:
    clients, trouble = 0, ""
    for server in await control.servers():
        said = await control.ask(f"get_server_status {server}", f"get_client_list {server}")
        clients += len(texts.pids(said))
        if texts.status(said) == "FAULT":
            trouble = _FAULT
    return Use(clients, trouble)


async def _newer(control: Control) -> Use:
    shape = "--format=csv,noheader"
    servers = texts.table(await control.verb("server", "list", shape))
    clients = texts.table(await control.verb("client", "list", "--all", shape))
    if odd := [",".join(row) for row in clients if not row[0].isdigit()]:
        return Use(None, f"programs cannot be counted: 'client list' answers {odd[0]!r}")
    faulty = any("FAULT" in (cell.upper() for cell in row) for row in servers)
    return Use(len(clients), _FAULT if faulty else "")
