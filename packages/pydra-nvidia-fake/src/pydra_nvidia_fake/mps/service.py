"""What a daemon decides: which server a program gets and with what limits, whichever protocol it is run by."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydra_nvidia_fake.mps import trouble
from pydra_nvidia_fake.mps.features import Features
from pydra_nvidia_fake.mps.limits import Limits, env_memory, portion, typed_percent
from pydra_nvidia_fake.mps.machine import Gpu, Machine, pick
from pydra_nvidia_fake.mps.partitions import Table
from pydra_nvidia_fake.mps.servers import Client, Server, Status, spawn

_CONTAINED = 610
_ROOT = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that comes, with what its environment says."""

    pid: int
    uid: int
    linux_namespace: int
    command: str
    visible: str | None
    percent: str
    memory: str
    partition: str
    tell: Callable[[Status], None]


@dataclass(frozen=True, slots=True)
class Share:
    """What a program got. `memory` is None if it may have all."""

    client: Client
    server: Server
    sms: int
    percent: float
    memory: int | None


@dataclass(slots=True, kw_only=True)
class Service:
    """One daemon. Everything is done with `changed` held, and told by it.

    Attributes:
        tool: The program's file; what goes wrong is written beside it.
        gpus: What `CUDA_VISIBLE_DEVICES` left, in that order.
        static: Whether it was started for static partitions.
        multiuser: Whether one server is for all users.
        folder: Where its sockets are.
        log: Writes down what happens.
        offer: Makes the socket of a server and namespace, in the third protocol.
        withdraw: Takes it away, or all of a server if no namespace is said.
    """

    tool: Path
    machine: Machine
    features: Features
    gpus: list[Gpu]
    v3: bool = False
    static: bool = False
    multiuser: bool = False
    uid: int = _ROOT
    folder: str
    log: Callable[[str], None]
    offer: Callable[[str, str], None]
    withdraw: Callable[[str, str], None]
    defaults: Limits = field(default_factory=Limits)
    servers: list[Server] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    graceful: bool = True
    closing: bool = False

    def start(self, uid: int, name: str = "", allowed: str = "") -> Server | None:
        """Start a server; None if it ended at once, which only the log tells."""
        uid = _ROOT if self.multiuser else uid
        gpus = self._allowed(allowed)
        failing = trouble.met(self.tool, trouble.SERVER)
        started = None if failing else spawn(self.tool, self.machine, self._now(gpus))
        if started is None:
            self.log(f"Starting new server for user {uid}")
            self.log("Server exited with status 1")
            self.graceful = False
            return None
        pid, wire = started
        limits = self.defaults.resolved(self.gpus)
        server = Server(pid, uid, name, gpus, limits, wire, allowed=allowed)
        if self.v3 and not self._offer_server(server):
            server.end()
            return None
        self.log(f"Starting new server {pid} for user {uid}")
        self.log(f"NEW SERVER {pid}: Ready")
        self.servers.append(server)
        threading.Thread(target=self._outlive, args=(server,), daemon=True).start()
        return server

    def server(self, pid: int) -> Server | None:
        """The server with a process ID."""
        return next((one for one in self.servers if one.pid == pid), None)

    def named(self, name: str) -> Server | None:
        """The server with a name."""
        return next((one for one in self.servers if one.name == name and name), None)

    def stop(self, server: Server) -> None:
        """Let a server end; it is forgotten at once, and so are its clients."""
        self.expel(server, list(server.clients))
        if server in self.servers:
            self.servers.remove(server)
            if self.v3:
                self.withdraw(server.name, "")
        server.end()
        self.changed.notify_all()

    def expel(self, server: Server, clients: list[Client]) -> None:
        """Let clients lose their server."""
        for client in clients:
            client.tell(Status.RPC_FAILURE)
            server.clients.remove(client)

    def in_partition(self, gpu: Gpu, partition: str) -> bool:
        """Whether a program is in a static partition."""
        clients = [client for server in self.servers for client in server.clients]
        return any(
            c.gpu.uuid == gpu.uuid and c.partition.partition("/")[2] == partition for c in clients
        )

    def admit(self, caller: Caller, name: str = "", space: str = "") -> Share | Status:
        """Let a program on a GPU, waiting while a server of another user has clients.

        Args:
            caller: the program.
            name: the server, in the third protocol; empty for the one of the caller's user.
            space: the namespace there.
        """
        server = self._meant(caller, name)
        if isinstance(server, Status):
            return server
        if server.status == "FAULT" and not self._contained(server):
            return Status.SERVER_NOT_READY
        if len(server.clients) >= self.features.most_clients:
            return Status.MAX_CLIENTS
        return self._join(caller, server, space)

    def leave(self, share: Share) -> None:
        """A program is gone."""
        server = share.server
        if share.client in server.clients:
            server.clients.remove(share.client)
            self.log(f"Client {share.client.pid} disconnected")
        self.changed.notify_all()

    def fault(self, share: Share) -> None:
        """A program did what no GPU survives: everybody there goes with it, unless partitions keep it in."""
        self.log(f"Server {share.server.pid}: Client {share.client.pid} encountered a fatal fault")
        for client in share.server.clients:
            same = client.partition == share.client.partition
            if same or not self._contained(share.server):
                client.faulty = True
                client.tell(Status.LAUNCH_FAILED)

    def table(self, gpu: Gpu, server: Server | None = None) -> Table:
        """The partitions of a GPU: of the daemon, or in the third protocol of a server."""
        tables = self.tables if server is None else server.tables
        return tables.setdefault(gpu.uuid, Table(gpu, server is not None))

    def _offer_server(self, server: Server) -> bool:
        server.spaces["default"] = Limits()
        try:
            self.offer(server.name, "")
            self.offer(server.name, "default")
        except OSError:
            self.withdraw(server.name, "")
            return False
        return True

    def _meant(self, caller: Caller, name: str) -> Server | Status:
        if name:
            server = self.named(name)
            if server is None or not self._may(caller, server):
                return Status.CONNECTION_FAILED
            return server
        while not self.closing:
            own = [one for one in self.servers if self._is_own(caller, one)]
            if own:
                return own[0]
            other = self._in_the_way()
            if other is None:
                named = f"uid_{caller.uid}" if self.v3 else ""
                return self.start(caller.uid, named) or Status.SERVER_NOT_READY
            self.log(
                f"NEW CLIENT {caller.pid} from user {caller.uid}: Server is not ready, push client to pending list"
            )
            self.changed.wait()
        return Status.CONNECTION_FAILED

    def _is_own(self, caller: Caller, server: Server) -> bool:
        if self.v3:
            return server.name == f"uid_{caller.uid}"
        return self._may(caller, server)

    def _may(self, caller: Caller, server: Server) -> bool:
        return self.multiuser or server.uid == caller.uid

    def _in_the_way(self) -> Server | None:
        """The server of another user that must end first; in the second protocol there is one at a time."""
        if self.v3:
            return None
        for server in list(self.servers):
            if server.clients:
                return server
            self.stop(server)
        return None

    def _join(self, caller: Caller, server: Server, space: str) -> Share | Status:
        gpu = self._device(caller, server)
        if gpu is None:
            return Status.NO_DEVICE
        limits = server.spaces.get(space or "default", server.limits)
        sms, percent = self._sms(caller, server, gpu, limits)
        if not sms:
            return Status.INVALID_RESOURCE_CONFIGURATION
        caps = [
            limits.memory.get(gpu.uuid, limits.memory.get("")),
            env_memory(caller.memory, server.gpus).get(gpu.uuid),
        ]
        client = Client(
            caller.pid, caller.uid, caller.linux_namespace, caller.command, gpu, caller.tell,
            space or "default", caller.partition, server.met,
        )  # fmt: skip
        server.met += 1
        server.clients.append(client)
        self.log(f"NEW CLIENT {caller.pid} from user {caller.uid}: Server already exists")
        return Share(client, server, sms, percent, min((c for c in caps if c), default=None))

    def _device(self, caller: Caller, server: Server) -> Gpu | None:
        first = (caller.visible or "0").split(",")[0].strip()
        return pick(server.gpus, first)

    def _sms(self, caller: Caller, server: Server, gpu: Gpu, limits: Limits) -> tuple[int, float]:
        """SMs and percentage; no SMs if there is no such partition, or none was named and one must be."""
        table = self.table(gpu, server if self.v3 else None)
        if self.static or caller.partition or table.partitions:
            uuid, _, word = caller.partition.partition("/")
            found = table.find(word) if uuid and gpu.uuid.startswith(uuid) else None
            return (found.sms, 100.0) if found else (0, 0.0)
        percent = min(limits.percent, typed_percent(caller.percent) or 100.0)
        return portion(gpu, percent), percent

    def _contained(self, server: Server) -> bool:
        static = self.static or any(table.partitions for table in server.tables.values())
        return static and self.features.branch >= _CONTAINED

    def _allowed(self, allowed: str) -> list[Gpu]:
        if not allowed:
            return self.gpus
        found = [pick(self.gpus, word.strip()) for word in allowed.split(",")]
        return [gpu for gpu in found if gpu is not None]

    def _now(self, gpus: list[Gpu]) -> list[Gpu]:
        """As they are now: their compute mode may have changed since the daemon started."""
        there = {gpu.uuid: gpu for gpu in self.machine.devices()}
        return [there[gpu.uuid] for gpu in gpus if gpu.uuid in there]

    def _outlive(self, server: Server) -> None:
        _, status = os.waitpid(server.pid, 0)
        with self.changed:
            self.log(f"Server {server.pid} exited with status {os.waitstatus_to_exitcode(status)}")
            if not server.ending:
                self.graceful = False
                self.stop(server)
            self.changed.notify_all()
