"""The commands of the second protocol: one line each, answered with text whatever comes of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from pydra_nvidia_fake.mps import trouble
from pydra_nvidia_fake.mps.limits import shown_size, typed_percent, typed_size
from pydra_nvidia_fake.mps.machine import Gpu, pick
from pydra_nvidia_fake.mps.partitions import Table
from pydra_nvidia_fake.mps.servers import Server, Status
from pydra_nvidia_fake.mps.service import Service

_DEVICE = re.compile(r"\d+|(GPU|MIG)-[0-9a-fA-F-]+")
_CHECKED = 580
_FULFIL = 610
_NO_SEVENTH = 595


class Commands:
    """Answers for one caller of one daemon. An answer is text without the last newline; empty says nothing."""

    def __init__(self, service: Service, uid: int) -> None:
        self._service = service
        self._uid = uid

    def answer(self, line: str) -> str:
        """Do what a line says."""
        words = line.split()
        name = words[0] if words else ""
        if name not in self._names():
            return f'Unknown command "{name}"'
        do: Callable[[list[str]], str] = getattr(self, f"_{name}")
        return do(words[1:])

    def _names(self) -> set[str]:
        names = {key[1:] for key in vars(Commands) if key.startswith(_KINDS)}
        if not self._service.features.options:
            names.discard("device_query")
        return names if self._service.features.static else names - {"sm_partition", "lspart"}

    def _get_server_list(self, _: list[str]) -> str:
        return "\n".join(str(server.pid) for server in self._service.servers)

    def _get_server_status(self, words: list[str]) -> str:
        if not words:
            return "A server PID is required"
        server = self._service.server(_number(words[0]))
        return server.status if server else f"Server {_number(words[0])} not found"

    def _start_server(self, words: list[str]) -> str:
        if words[:1] != ["-uid"] or len(words) < 2:  # noqa: PLR2004 - option and value
            return "A user id (UID) is required to start a new server"
        uid = _number(words[1])
        if self._uid not in (0, uid):
            return f"Insufficient privileges for UID {self._uid}. Only the root user may start server for another user."
        if any(server.uid == uid for server in self._service.servers):
            return f"Server with UID {uid} already exists" if self._service.features.static else ""
        self._service.start(uid)
        return ""

    def _shutdown_server(self, words: list[str]) -> str:
        server = self._server(words)
        if isinstance(server, str):
            return server
        if not server.clients or "-f" in words:
            self._service.stop(server)
        return ""

    def _get_client_list(self, words: list[str]) -> str:
        server = self._server(words)
        if isinstance(server, str):
            return server
        return "\n".join(str(client.pid) for client in server.clients)

    def _get_device_client_list(self, words: list[str]) -> str:
        lines = []
        for server in [s for s in self._service.servers if not words or s.pid == _number(words[0])]:
            for ordinal, gpu in enumerate(server.gpus):
                lines.append(f"[{ordinal}] {gpu.bus}, {gpu.name}")
                lines += [str(c.pid) for c in server.clients if c.gpu.uuid == gpu.uuid]
        return "\n".join(lines)

    def _ps(self, words: list[str]) -> str:
        servers = self._service.servers
        if words:
            pid = _number(words[1]) if len(words) > 1 else 0
            servers = [server for server in servers if server.pid == pid]
            if not servers:
                return f"Server {pid} not found\nServer {pid} not found\n"
        if not servers:
            return "Server not found"
        lines = [_row("PID", "ID", "SERVER", "DEVICE", "NAMESPACE", "COMMAND")]
        lines += [
            _row(c.pid, c.number, server.pid, c.gpu.uuid[:22], c.linux_namespace, c.command)
            for server in servers
            for c in server.clients
        ]
        return "\n".join(lines)

    def _get_default_active_thread_percentage(self, _: list[str]) -> str:
        return f"{self._service.defaults.percent:.1f}"

    def _set_default_active_thread_percentage(self, words: list[str]) -> str:
        refused = self._not_the_owner()
        if refused:
            return refused
        percent = typed_percent(words[0] if words else "")
        if percent is None:
            self._service.log("Invalid percentage, expected between (0.0, 100.0]")
        else:
            self._service.defaults.percent = self._clamped("percent", percent)
        return f"{self._service.defaults.percent:.1f}"

    def _get_active_thread_percentage(self, words: list[str]) -> str:
        server = self._server(words)
        return server if isinstance(server, str) else f"{server.limits.percent:.1f}"

    def _set_active_thread_percentage(self, words: list[str]) -> str:
        server = self._own(words)
        if isinstance(server, str):
            return server
        percent = typed_percent(words[1] if len(words) > 1 else "")
        if percent is None:
            self._service.log("Invalid percentage, expected between (0.0, 100.0]")
        else:
            server.limits.percent = self._clamped("percent", percent)
        return f"{server.limits.percent:.1f}"

    def _get_default_device_pinned_mem_limit(self, words: list[str]) -> str:
        return shown_size(self._service.defaults.memory.get(words[0] if words else "", 0))

    def _set_default_device_pinned_mem_limit(self, words: list[str]) -> str:
        refused = self._not_the_owner() or self._bad_device(words)
        if refused or not words:
            return refused
        size = typed_size(words[1] if len(words) > 1 else "")
        self._service.defaults.remember(words[0], int(self._clamped("memory", size)))
        return ""

    def _get_device_pinned_mem_limit(self, words: list[str]) -> str:
        found = self._of_device(self._server(words), words)
        if isinstance(found, str):
            return found
        server, gpu = found
        return shown_size(server.limits.memory.get(gpu.uuid, 0))

    def _set_device_pinned_mem_limit(self, words: list[str]) -> str:
        found = self._of_device(self._own(words), words)
        if isinstance(found, str):
            return found
        server, gpu = found
        size = typed_size(words[2] if len(words) > 2 else "")  # noqa: PLR2004 - server, device, size
        server.limits.remember(gpu.uuid, int(self._clamped("memory", size)))
        return ""

    def _get_default_client_priority(self, _: list[str]) -> str:
        return str(self._service.defaults.priority)

    def _set_default_client_priority(self, words: list[str]) -> str:
        if words[:1] not in (["0"], ["1"]):
            return "Invalid priority value - must be 0 or 1!"
        self._service.defaults.priority = int(words[0])
        return ""

    def _terminate_client(self, words: list[str]) -> str:
        server = self._own(words)
        if isinstance(server, str):
            return server
        pid = _number(words[1]) if len(words) > 1 else 0
        met = [client for client in server.clients if client.pid == pid]
        for client in met:
            client.tell(Status.CLIENT_TERMINATED)
        return "0" if met else f"Invalid process {pid}!"

    def _device_query(self, words: list[str]) -> str:
        if "--csv" in words:
            rows = [f"{i},{g.bus},{g.uuid},{g.name}," for i, g in enumerate(self._service.gpus)]
            return "\n".join(["Device Ordinal,PCI IDs,UUID,Name,Attributes", *rows])
        lines = [f"{'Device Ordinal':14}  {'PCI IDs':13}  {'UUID':40}  {'Name':32}  Attributes"]
        lines += [
            f"{i:<14}  {g.bus:13}  {g.uuid:40}  {g.name:32}  "
            for i, g in enumerate(self._service.gpus)
        ]
        return "\n".join(lines)

    def _sm_partition(self, words: list[str]) -> str:
        if not self._service.static:
            return "Static partitioning mode is not enabled"
        if words[:1] == ["add"]:
            return self._add(words[1:])
        if words[:1] == ["rm"]:
            return self._remove("/".join(words[1:]))
        return "Invalid option for sm_partition"

    def _add(self, words: list[str]) -> str:
        if len(words) != 2:  # noqa: PLR2004 - device and chunks
            return "Usage: sm_partition add <device UUID> <number of chunks>"
        gpu, chunks = pick(self._service.gpus, words[0]), _number(words[1])
        if gpu is None or words[0].isdecimal():
            return f"Invalid device {words[0]}"
        if chunks <= 0:
            return f"Invalid number of chunks: {chunks}"
        one = self._service.table(gpu).add(chunks)
        if one is None:
            return self._no_room(chunks)
        bare = self._service.features.bare
        return f"{gpu.uuid}/{one.id}" if bare else f"Partition {gpu.uuid}/{one.id} created"

    def _no_room(self, chunks: int) -> str:
        error = Status.INVALID_RESOURCE_CONFIGURATION
        if self._service.features.branch >= _FULFIL:
            return f"Failed to fulfill the requested SM partition of {chunks} chunks, error CUDA_ERROR_{error.name}"
        return f"Failed to create the requested SM partition of {chunks} chunks, error {int(error)}"

    def _remove(self, named: str) -> str:
        device, _, word = named.partition("/")
        gpu = pick(self._service.gpus, device)
        if gpu is None or not word:
            return "Usage: sm_partition rm <device UUID> <partition ID> or sm_partition rm <device UUID>/<partition ID>"
        table = self._service.table(gpu)
        found = table.find(word)
        if found is None:
            return f"Partition {word} not found"
        if self._users(gpu, word):
            return f"Partition {word} in use. Terminate all clients before removing."
        table.partitions.remove(found)
        return "" if self._service.features.bare else f"Partition {word} removed"

    def _lspart(self, _: list[str]) -> str:
        if not self._service.static:
            return "Static partitioning mode is not enabled"
        lines = [
            _listed("GPU", "Partition", "free", "used", "free", "used", "clients"),
            _listed("", "", "chunk", "chunk", "SM", "SM", ""),
        ]
        for gpu in self._service.gpus:
            lines += self._rows(self._service.table(gpu))
        return "\n".join(lines)

    def _rows(self, table: Table) -> list[str]:
        short = table.gpu.uuid[: len("GPU-74d43ed3")]
        free = table.free * table.size
        last = "" if self._service.features.branch >= _NO_SEVENTH else "-"
        used = table.chunks - table.free
        rows = [_listed(short, "-", table.free, used, free, table.used_sms, last)]
        for one in table.partitions:
            busy = "Yes" if self._users(table.gpu, one.id) else "-"
            rows.append(_listed(short, one.id, "-", one.chunks, "-", one.sms, busy))
        return rows

    def _users(self, gpu: Gpu, word: str) -> bool:
        clients = [client for server in self._service.servers for client in server.clients]
        return any(c.gpu.uuid == gpu.uuid and c.partition.endswith(f"/{word}") for c in clients)

    def _server(self, words: list[str]) -> Server | str:
        pid = _number(words[0]) if words else 0
        return self._service.server(pid) or f"Server {pid} not found"

    def _own(self, words: list[str]) -> Server | str:
        server = self._server(words)
        if isinstance(server, Server) and self._uid not in (0, server.uid):
            return f"Insufficient privileges for UID {self._uid}. Only the root user may change settings for another user's server."
        return server

    def _of_device(self, server: Server | str, words: list[str]) -> tuple[Server, Gpu] | str:
        if isinstance(server, str):
            return server
        gpu = pick(server.gpus, words[1] if len(words) > 1 else "")
        return (server, gpu) if gpu else "Invalid device ordinal!"

    def _not_the_owner(self) -> str:
        if self._uid in (0, self._service.uid):
            return ""
        return (
            f"Insufficient privileges for UID {self._uid}. Control deamon settings can only be modified by the user"
            " started it or by the root user."
        )

    def _bad_device(self, words: list[str]) -> str:
        word = words[0] if words else ""
        if self._service.features.branch < _CHECKED or _DEVICE.fullmatch(word):
            return ""
        return f"Invalid device identifier format: {word}"

    def _clamped(self, what: str, value: float) -> float:
        met = trouble.met(self._service.tool, what)
        return min(value, met.value) if met and met.kind == trouble.CLAMP else value


_KINDS = (
    *("_get_", "_set_", "_start_server", "_shutdown_server", "_ps", "_terminate_client"),
    *("_device_query", "_sm_partition", "_lspart"),
)


def _number(word: str) -> int:
    found = re.match(r"[+-]?\d+", word)
    return int(found[0]) if found else 0


def _row(*cells: object) -> str:
    return "".join(f"{cell!s:{width}}" for cell, width in zip(cells, (10, 10, 15, 26, 15, 15), strict=True))  # fmt: skip


def _listed(*cells: object) -> str:
    return " ".join(f"{cell!s:{width}}" for cell, width in zip(cells, (20, 36, 8, 8, 6, 6, 6), strict=True))  # fmt: skip
