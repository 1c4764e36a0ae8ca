"""Static partitions of a server's GPUs, by name. Which one a program takes is its own word: namespaces do not limit it."""

from __future__ import annotations

from collections.abc import Callable

from pydra_nvidia_fake.mps.machine import Gpu, pick
from pydra_nvidia_fake.mps.servers import Server
from pydra_nvidia_fake.mps.v3.call import NAME, Call, Refused

_COLUMNS = (
    *("server", "device", "name", "chunks", "sm-count", "include-remainder", "status"),
    "visible-uuid",
)


def _create(call: Call) -> str:
    server, gpu = _where(call)
    name, chunks = call.word(0), call.keys.get("chunks", "")
    table = call.service.table(gpu, server)
    if not NAME.fullmatch(name) or table.find(name):
        raise Refused(f"invalid partition name '{name}', or it is taken")
    if not chunks.isdecimal() or int(chunks) == 0:
        raise Refused(f"invalid number of chunks '{chunks}'")
    if any(client.gpu.uuid == gpu.uuid for client in server.clients):
        raise Refused(f"device {gpu.uuid} has active clients")
    remainder = call.keys.get("include-remainder", "false") == "true"
    one = table.add(int(chunks), name, remainder=remainder)
    if one is None:
        raise Refused(f"device {gpu.uuid} has {table.free} free chunks, not {chunks}")
    return (
        f"SM partition '{name}' created on device {gpu.uuid} (sm-count={one.sms})\n"
        f"CUDA_MPS_SM_PARTITION={gpu.uuid}/{one.id}"
    )


def _delete(call: Call) -> str:
    server, gpu = _where(call)
    table = call.service.table(gpu, server)
    found = table.find(call.word(0))
    if found is None:
        raise Refused(f"SM partition '{call.word(0)}' does not exist on device {gpu.uuid}")
    if call.service.in_partition(gpu, found.id):
        raise Refused(f"SM partition '{found.name}' is in use")
    table.partitions.remove(found)
    return f"SM partition '{found.name}' deleted from device {gpu.uuid}"


def _list(call: Call) -> str:
    rows = []
    for server in call.servers():
        for gpu in server.gpus:
            table = call.service.table(gpu, server)
            rows += [
                [server.name, gpu.uuid, one.name, str(one.chunks), str(one.sms), str(one.remainder).lower(), "created", one.id]
                for one in table.partitions
            ]  # fmt: skip
            if table.free and (table.partitions or "all" in call.flags):
                sms = str(table.free * table.size)
                rows.append(
                    [server.name, gpu.uuid, "-", str(table.free), sms, "-", "unallocated", "-"]
                )
    return call.listed(_COLUMNS, rows)


def _where(call: Call) -> tuple[Server, Gpu]:
    server = call.owned(call.keys.get("server", ""))
    gpu = pick(server.gpus, call.keys.get("device", ""))
    if gpu is None:
        raise Refused(f"device '{call.keys.get('device', '')}' does not exist")
    return server, gpu


VERBS: dict[str, Callable[[Call], str]] = {
    "sm-partition create": _create,
    "sm-partition delete": _delete,
    "sm-partition list": _list,
}
