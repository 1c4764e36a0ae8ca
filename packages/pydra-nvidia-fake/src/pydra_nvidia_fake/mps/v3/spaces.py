"""Namespaces: groups of a server's clients with limits of their own. A program is in the one whose socket it is given."""

from __future__ import annotations

from collections.abc import Callable

from pydra_nvidia_fake.mps.limits import GIB, MIB, Limits
from pydra_nvidia_fake.mps.servers import Server
from pydra_nvidia_fake.mps.v3.call import NAME, Call, Refused

_FIELDS = (
    *("name", "server", "server-status", "pinned-memory-limit", "active-thread-percentage"),
    *("client-priority", "pipe-directory"),
)


def _create(call: Call) -> str:
    server, name = call.owned(call.keys.get("server", "")), call.word(0)
    if not NAME.fullmatch(name):
        raise Refused(f"invalid namespace name '{name}'")
    if name in server.spaces:
        raise Refused(f"namespace '{name}' already exists on server '{server.name}'")
    try:
        call.service.offer(server.name, name)
    except OSError as err:
        raise Refused(f"failed to create the socket of namespace '{name}'") from err
    server.spaces[name] = Limits()
    return f"Namespace '{name}' created on server '{server.name}'"


def _delete(call: Call) -> str:
    server, name = call.owned(call.keys.get("server", "")), call.word(0)
    _space(server, name)
    clients = [client for client in server.clients if client.space == name]
    if clients and "force" not in call.flags:
        raise Refused(f"namespace '{name}' has active clients")
    if name == "default":
        raise Refused("the default namespace cannot be deleted")
    call.service.expel(server, clients)
    call.service.withdraw(server.name, name)
    del server.spaces[name]
    return f"Namespace '{name}' deleted from server '{server.name}'"


def _list(call: Call) -> str:
    rows = [
        [_field(call, server, name, field) for field in _FIELDS]
        for server in call.servers()
        for name in server.spaces
        if call.word(0) in ("", name)
    ]
    return call.listed(_FIELDS, rows)


def _set(call: Call) -> str:
    server, name = call.owned(call.keys.get("server", "")), call.word(0)
    _space(server, name)
    call.limit(server, name)
    return f"Namespace '{name}' updated"


def _get(call: Call) -> str:
    server = call.server(call.word(1))
    _space(server, call.word(0))
    return _field(call, server, call.word(0), call.field(2, _FIELDS))


def _space(server: Server, name: str) -> Limits:
    found = server.spaces.get(name)
    if found is None:
        raise Refused(f"namespace '{name}' does not exist on server '{server.name}'")
    return found


def _field(call: Call, server: Server, name: str, field: str) -> str:
    limits = server.spaces[name]
    return {
        "name": name,
        "server": server.name,
        "server-status": "Ready" if server.status == "ACTIVE" else "Fault",
        "pinned-memory-limit": _size(limits.memory.get("", 0)),
        "active-thread-percentage": f"{limits.percent:g}",
        "client-priority": str(limits.priority),
        "pipe-directory": call.folder(server.name, name),
    }[field]


def _size(size: int) -> str:
    if not size:
        return "-"
    for unit, letter in ((GIB, "G"), (MIB, "M")):
        if size % unit == 0:
            return f"{size // unit}{letter}"
    return f"{size >> 10}K"


VERBS: dict[str, Callable[[Call], str]] = {
    "namespace create": _create,
    "namespace delete": _delete,
    "namespace list": _list,
    "namespace set": _set,
    "namespace get": _get,
}
