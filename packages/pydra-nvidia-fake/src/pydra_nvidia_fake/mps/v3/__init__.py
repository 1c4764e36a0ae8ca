"""The third protocol: `module verb NAME --key=value`, with named servers, and namespaces that have limits of their own.

Left out: configuration files, locality domains, and the modules `feature`, `memacct` and `context-share`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pydra_nvidia_fake.mps.servers import Client, Server, Status
from pydra_nvidia_fake.mps.service import Service
from pydra_nvidia_fake.mps.v3 import partitions, spaces
from pydra_nvidia_fake.mps.v3.call import NAME, Call, Refused

__all__ = ["answer"]


def answer(service: Service, uid: int, argv: list[str]) -> tuple[str, int]:
    """Do what the arguments of a user say: text without its last newline, and exit status."""
    if len(argv) < 2 or " ".join(argv[:2]) not in _VERBS:  # noqa: PLR2004 - module and verb
        return f"Error: unknown command '{' '.join(argv[:2])}'", 1
    try:
        return _VERBS[" ".join(argv[:2])](Call.of(service, uid, argv)), 0
    except Refused as err:
        return f"Error: {err}", 1


def _server_create(call: Call) -> str:
    service, uid = call.service, int(call.keys.get("uid", call.uid))
    name = call.word(0) or (f"uid_{uid}" if "uid" in call.keys else "")
    if not NAME.fullmatch(name):
        raise Refused(f"invalid server name '{name}'")
    if service.multiuser and uid and "uid" in call.keys:
        raise Refused("only --uid=0 is allowed in multiuser mode")
    if call.uid not in (0, uid):
        raise Refused(f"Insufficient privileges for UID {call.uid}.")
    if service.named(name):
        raise Refused(f"server '{name}' already exists")
    if not service.start(uid, name, call.keys.get("allowed-devices", "")):
        raise Refused(f"failed to start server '{name}'")
    return f"Server '{name}' created"


def _server_delete(call: Call) -> str:
    server = call.owned(call.word(0))
    if server.clients and "force" not in call.flags:
        raise Refused(f"server '{server.name}' has active clients")
    call.service.stop(server)
    return f"Server '{server.name}' deleted"


def _server_list(call: Call) -> str:
    columns = ("name", "uid", "pid", "status", "pipe-directory", "allowed-devices", "context-ids")
    servers = [call.server(call.word(0))] if call.words else call.service.servers
    return call.listed(columns, [[_server_field(call, s, c) for c in columns] for s in servers])


def _server_get(call: Call) -> str:
    fields = ("name", "uid", "pid", "status", "pipe-directory", "allowed-devices")
    return _server_field(call, call.server(call.word(0)), call.field(1, fields))


def _server_set(call: Call) -> str:
    server = call.owned(call.word(0))
    call.limit(server, "default")
    return f"Server '{server.name}' updated"


def _server_field(call: Call, server: Server, field: str) -> str:
    return {
        "name": server.name,
        "uid": str(server.uid),
        "pid": str(server.pid),
        "status": "Ready" if server.status == "ACTIVE" else "Fault",
        "pipe-directory": call.folder(server.name),
        "allowed-devices": server.allowed or "-",
        "context-ids": "-",
    }[field]


def _client_list(call: Call) -> str:
    columns = ("PID", "SERVER", "DEVICE", "MAWS NS", "CMD")
    rows = [
        [str(c.pid), s.name, c.gpu.uuid, f"{s.name}/{c.space} (0)", c.command]
        for s in call.servers()
        for c in s.clients
    ]
    if not call.keys.get("format", "").startswith("csv"):
        rows = [[_short(row[0]), *row[1:]] for row in rows]
    return call.listed(columns, rows)


def _client_terminate(call: Call) -> str:
    _, client = _client(call)
    client.tell(Status.CLIENT_TERMINATED)
    return f"Client {client.pid} terminated"


def _client_get(call: Call) -> str:
    server, client = _client(call)
    fields = {
        "pid": client.pid,
        "server": server.name,
        "device": client.gpu.uuid,
        "pci-id": client.gpu.bus,
        "linux-ns": client.linux_namespace,
        "maws-ns": client.space,
        "cmd": client.command,
    }
    return str(fields[call.field(1, tuple(fields))])


def _client(call: Call) -> tuple[Server, Client]:
    for server in call.service.servers:
        for client in server.clients:
            if str(client.pid) == call.word(0):
                return server, client
    raise Refused(f"client '{call.word(0)}' does not exist")


def _device_list(call: Call) -> str:
    columns = (
        *("Ordinal", "Server", "PCI ID", "Device UUID", "Name", "Total SMs", "Total Chunks"),
        "Attributes",
    )
    rows = [
        [
            str(at),
            s.name,
            g.bus,
            g.uuid,
            g.name,
            str(g.sm),
            str(call.service.table(g, s).chunks),
            "-",
        ]
        for s in call.servers()
        for at, g in enumerate(s.gpus)
    ]
    return call.listed(columns, rows)


def _short(pid: str) -> str:
    """As in the real one's table, which has no room for longer ones."""
    return re.sub(r"^(...)....+$", r"\1...", pid)


_VERBS: dict[str, Callable[[Call], str]] = {
    "server create": _server_create,
    "server delete": _server_delete,
    "server list": _server_list,
    "server get": _server_get,
    "server set": _server_set,
    "client list": _client_list,
    "client get": _client_get,
    "client terminate": _client_terminate,
    "device list": _device_list,
    **spaces.VERBS,
    **partitions.VERBS,
}
