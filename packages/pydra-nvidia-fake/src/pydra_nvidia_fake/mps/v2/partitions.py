"""Static partitions in the second protocol, of daemons that were started for them."""

from __future__ import annotations

from collections.abc import Callable

from pydra_nvidia_fake.mps.machine import pick
from pydra_nvidia_fake.mps.partitions import Table
from pydra_nvidia_fake.mps.servers import Status
from pydra_nvidia_fake.mps.service import Service
from pydra_nvidia_fake.mps.v2.call import Call

_FULFIL, _NO_SEVENTH = 610, 595
_PARTIAL = len("GPU-74d43ed3")
_WIDTHS = (20, 36, 8, 8, 6, 6, 6)
_OFF = "Static partitioning mode is not enabled"


def _sm_partition(call: Call) -> str:
    if not call.service.static:
        return _OFF
    if call.word(0) == "add":
        return _add(call)
    return _remove(call) if call.word(0) == "rm" else "Invalid option for sm_partition"


def _add(call: Call) -> str:
    device, chunks = call.word(1), call.number(2)
    if not call.word(2):
        return "Usage: sm_partition add <device UUID> <number of chunks>"
    gpu = pick(call.service.gpus, device)
    if gpu is None or device.isdecimal():
        return f"Invalid device {device}"
    if chunks <= 0:
        return f"Invalid number of chunks: {chunks}"
    one = call.service.table(gpu).add(chunks)
    if one is None:
        return _no_room(call.service, chunks)
    bare = call.service.features.bare
    return f"{gpu.uuid}/{one.id}" if bare else f"Partition {gpu.uuid}/{one.id} created"


def _no_room(service: Service, chunks: int) -> str:
    error = Status.INVALID_RESOURCE_CONFIGURATION
    if service.features.branch >= _FULFIL:
        return f"Failed to fulfill the requested SM partition of {chunks} chunks, error CUDA_ERROR_{error.name}"
    return f"Failed to create the requested SM partition of {chunks} chunks, error {int(error)}"


def _remove(call: Call) -> str:
    device, _, word = "/".join(call.words[1:]).partition("/")
    gpu = pick(call.service.gpus, device)
    if gpu is None or not word:
        return "Usage: sm_partition rm <device UUID> <partition ID> or sm_partition rm <device UUID>/<partition ID>"
    table = call.service.table(gpu)
    found = table.find(word)
    if found is None:
        return f"Partition {word} not found"
    if call.service.in_partition(gpu, word):
        return f"Partition {word} in use. Terminate all clients before removing."
    table.partitions.remove(found)
    return "" if call.service.features.bare else f"Partition {word} removed"


def _lspart(call: Call) -> str:
    if not call.service.static:
        return _OFF
    rows: list[tuple[object, ...]] = [
        ("GPU", "Partition", "free", "used", "free", "used", "clients"),
        ("", "", "chunk", "chunk", "SM", "SM", ""),
    ]
    for gpu in call.service.gpus:
        rows += _rows(call.service, call.service.table(gpu))
    return "\n".join(
        " ".join(f"{cell!s:{width}}" for cell, width in zip(row, _WIDTHS, strict=True))
        for row in rows
    )


def _rows(service: Service, table: Table) -> list[tuple[object, ...]]:
    gpu, free = table.gpu.uuid[:_PARTIAL], table.free
    last = "" if service.features.branch >= _NO_SEVENTH else "-"
    rows: list[tuple[object, ...]] = [
        (gpu, "-", free, table.chunks - free, free * table.size, table.used_sms, last)
    ]
    for one in table.partitions:
        busy = "Yes" if service.in_partition(table.gpu, one.id) else "-"
        rows.append((gpu, one.id, "-", one.chunks, "-", one.sms, busy))
    return rows


COMMANDS: dict[str, Callable[[Call], str]] = {"sm_partition": _sm_partition, "lspart": _lspart}
