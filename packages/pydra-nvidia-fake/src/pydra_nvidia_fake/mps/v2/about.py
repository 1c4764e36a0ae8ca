"""Servers and their clients, in the second protocol."""

from __future__ import annotations

from collections.abc import Callable

from pydra_nvidia_fake.mps.servers import Status
from pydra_nvidia_fake.mps.v2.call import Call

_PARTIAL = len("GPU-cb1213a3-d6a4-be7f")
_WIDTHS = (10, 10, 15, 26, 15, 15)


def _server_list(call: Call) -> str:
    return "\n".join(str(server.pid) for server in call.service.servers)


def _server_status(call: Call) -> str:
    if not call.words:
        return "A server PID is required"
    server = call.server()
    return server if isinstance(server, str) else server.status


def _start_server(call: Call) -> str:
    service, uid = call.service, call.number(1)
    if call.word(0) != "-uid" or not call.word(1):
        return "A user id (UID) is required to start a new server"
    if call.uid not in (0, uid):
        return f"Insufficient privileges for UID {call.uid}. Only the root user may start server for another user."
    uid = 0 if service.multiuser else uid
    if any(server.uid == uid for server in service.servers):
        return f"Server with UID {uid} already exists" if service.features.static else ""
    service.start(uid)
    return ""


def _shutdown_server(call: Call) -> str:
    server = call.own_server()
    if isinstance(server, str):
        return server
    if not server.clients or "-f" in call.words:
        call.service.stop(server)
    return ""


def _client_list(call: Call) -> str:
    server = call.server()
    if isinstance(server, str):
        return server
    return "\n".join(str(client.pid) for client in server.clients)


def _device_client_list(call: Call) -> str:
    lines = []
    for server in call.service.servers:
        if call.words and server.pid != call.number(0):
            continue
        for ordinal, gpu in enumerate(server.gpus):
            lines.append(f"[{ordinal}] {gpu.bus}, {gpu.name}")
            lines += [str(c.pid) for c in server.clients if c.gpu.uuid == gpu.uuid]
    return "\n".join(lines)


def _ps(call: Call) -> str:
    servers = call.service.servers
    if call.words:
        pid = call.number(1)
        servers = [server for server in servers if server.pid == pid]
        if not servers:
            return f"Server {pid} not found\nServer {pid} not found\n"
    if not servers:
        return "Server not found"
    rows: list[tuple[object, ...]] = [("PID", "ID", "SERVER", "DEVICE", "NAMESPACE", "COMMAND")]
    rows += [
        (c.pid, c.number, server.pid, c.gpu.uuid[:_PARTIAL], c.linux_namespace, c.command)
        for server in servers
        for c in server.clients
    ]
    return "\n".join(
        "".join(f"{cell!s:{width}}" for cell, width in zip(row, _WIDTHS, strict=True))
        for row in rows
    )


def _terminate_client(call: Call) -> str:
    server = call.own_server()
    if isinstance(server, str):
        return server
    met = [client for client in server.clients if client.pid == call.number(1)]
    for client in met:
        client.tell(Status.CLIENT_TERMINATED)
    return "0" if met else f"Invalid process {call.number(1)}!"


def _device_query(call: Call) -> str:
    gpus = call.service.gpus
    if "--csv" in call.words:
        rows = [f"{at},{gpu.bus},{gpu.uuid},{gpu.name}," for at, gpu in enumerate(gpus)]
        return "\n".join(["Device Ordinal,PCI IDs,UUID,Name,Attributes", *rows])
    rows = [f"{at:<14}  {gpu.bus}  {gpu.uuid:40}  {gpu.name:32}  " for at, gpu in enumerate(gpus)]
    head = f"Device Ordinal  {'PCI IDs':13}  {'UUID':40}  {'Name':32}  Attributes"
    return "\n".join([head, *rows])


COMMANDS: dict[str, Callable[[Call], str]] = {
    "get_server_list": _server_list,
    "get_server_status": _server_status,
    "start_server": _start_server,
    "shutdown_server": _shutdown_server,
    "get_client_list": _client_list,
    "get_device_client_list": _device_client_list,
    "ps": _ps,
    "terminate_client": _terminate_client,
    "device_query": _device_query,
}
