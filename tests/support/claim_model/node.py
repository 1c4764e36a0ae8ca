"""A node in a folder: instances of the driver that are started and killed on it, and what lies on its disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from claim_model.door import NAME
from pydra_core._state import frames, records
from pydra_core._state.ledger import Ledger

FAULTS = {
    f"{where} {name}": (where, getattr(errno, name))
    for where in ("journal", "cdi")
    for name in ("ENOSPC", "EIO")
}
SLOTS = {"old": str(uuid.UUID(int=1)), "new": str(uuid.UUID(int=2))}


class Zygote:
    """The process all instances are forked from."""

    def __init__(self, folder: Path, library: Path | None) -> None:
        self.breaks_disks = library is not None
        self.errors = folder / "errors"
        self._errors = self.errors.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "claim_model.door"],
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(sys.path)}
            | ({"LD_PRELOAD": str(library)} if library else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, **command: object) -> int:
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)
        self._errors.close()


@dataclass(eq=False)
class Instance:
    """One living instance, or one that died and has not been missed yet."""

    pid: int
    lines: socket.SocketIO
    doomed: bool
    """Whether it may die at any time."""
    flaky: bool
    """Whether any change of the disk may fail."""

    def send(self, **command: object) -> None:
        try:
            self.lines.write(json.dumps(command).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            assert self.doomed

    def receive(self) -> list | None:
        """Its answer, None if it died instead."""
        received = b""
        try:
            while not received.endswith(b"\n") and (more := self.lines.read(1 << 16)):
                received += more
        except ConnectionResetError:
            received = b""
        return json.loads(received) if received.endswith(b"\n") else None


@dataclass
class Disk:
    """What lies on the node at one moment, read here and not by the driver."""

    ledger: Ledger
    specs: dict[str, bytes]
    """By claim UID."""
    hardware: dict[str, str]
    others: set[str]
    """Files in the CDI directory that are no spec file of a claim."""


@dataclass
class Node:
    """A folder with kubelet's directory, CDI directory, hardware, boot ID and the API server's claims."""

    zygote: Zygote
    root: Path
    switched: bool
    compacting: bool
    instances: dict[str, Instance] = field(default_factory=dict)
    boot: int = 1

    def __post_init__(self) -> None:
        for folder in ("kubelet/plugins", "cdi", "hw"):
            (self.root / folder).mkdir(parents=True)
        self.write("modes", {})
        (self.root / "boot_id").write_text("boot-1")
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(self.root / "door"))
        self._door.listen()

    def close(self) -> None:
        for slot in list(self.instances):
            self.end(slot, kill=True)
        self._door.close()

    def write(self, name: str, content: object) -> None:
        (self.root / name).write_text(json.dumps(content))

    def start(self, slot: str, *, doom: str = "", fail: str = "") -> bool:
        """Start an instance; says whether it lives.

        `doom`: how many changes of the disk it lives for, and how it dies; `fail`: which of them fail, and how.
        """
        prefix = {"journal": self.root / "kubelet", "cdi": self.root / "cdi"}
        standing = [f"{self.root}/{n}:{e}:{prefix[w]}" for n, (w, e) in FAULTS.items()]
        environ = {
            "CRASH_ROOTS": f"{self.root}/kubelet/plugins:{self.root}/cdi:{self.root}/hw",
            "CRASH_SPARE": f"{self.root}/hw",
            "CRASH_FAIL_WHILE": ",".join(standing),
            "CRASH_KILL": doom,
            "CRASH_FAIL": fail,
        }
        job = {
            "root": str(self.root),
            "socket": str(self.root / "door"),
            "pod_uid": SLOTS[slot],
            "switched": self.switched,
            "compacting": self.compacting,
            "environ": environ,
        }
        pid = self.zygote.ask(start=job)
        self._door.settimeout(30)
        connection, _ = self._door.accept()
        connection.settimeout(30)
        instance = Instance(pid, connection.makefile("rwb", buffering=0), bool(doom), bool(fail))
        connection.close()
        if instance.receive() is None:
            instance.lines.close()
            assert self.zygote.ask(pid=pid) in ({2, -9} if doom else {2}), self.told()
            return False
        self.instances[slot] = instance
        return True

    def end(self, slot: str, *, kill: bool) -> None:
        """Kill or stop an instance and wait for its end."""
        instance = self.instances.pop(slot)
        if not kill:
            instance.lines.close()  # the end of what it is told
        code = self.zygote.ask(pid=instance.pid, kill=kill)
        instance.lines.close()
        assert code in ({-9} if kill else {0, -9} if instance.doomed else {0}), self.told()

    def ask(self, slot: str, **command: object) -> list | None:
        """Tell an instance one thing; None if it died of it."""
        self.instances[slot].send(**command)
        return self.hear(slot)

    def hear(self, slot: str) -> list | None:
        """Wait for an answer; who does not answer is gone."""
        answer = self.instances[slot].receive()
        if answer is None:
            assert self.instances[slot].doomed, f"an instance died: {self.told()}"
            self.end(slot, kill=True)
        return answer

    def reboot(self) -> None:
        """Everything dies, `/var/run` is empty, the hardware forgets, the boot ID is another."""
        for slot in list(self.instances):
            self.end(slot, kill=True)
        for folder in ("cdi", "hw"):
            shutil.rmtree(self.root / folder)
            (self.root / folder).mkdir()
        self.boot += 1
        (self.root / "boot_id").write_text(f"boot-{self.boot}")

    def fault(self, name: str, *, there: bool) -> None:
        """Begin or end a fault of the disk."""
        file = self.root / name
        file.touch() if there else file.unlink(missing_ok=True)

    def told(self) -> str:
        return self.zygote.errors.read_text()[-4000:]

    def disk(self) -> Disk:
        """Read what is there."""
        specs = {f.name: f.read_bytes() for f in (self.root / "cdi").iterdir()}
        stem = f"{NAME}-claim_"
        ours = {n: c for n, c in specs.items() if n.startswith(stem) and n.endswith(".json")}
        return Disk(
            self._ledger(),
            {n.removeprefix(stem).removesuffix(".json"): c for n, c in ours.items()},
            {f.name: f.read_text() for f in (self.root / "hw").iterdir()},
            set(specs) - set(ours),
        )

    def _ledger(self) -> Ledger:
        ledger, file = Ledger(), self.root / "kubelet" / "plugins" / NAME / "journal"
        data = file.read_bytes() if file.exists() else b""
        for item in frames.read(data, frames.HEADER_SIZE):
            if isinstance(item, frames.Damage):
                assert item.torn, item
            else:
                ledger.apply(records.decode(item.payload))
        return ledger
