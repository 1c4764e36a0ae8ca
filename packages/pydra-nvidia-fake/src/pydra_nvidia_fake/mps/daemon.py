"""The daemon: its files, its log, and a thread for everybody who connects. Run by `tool`, in the process it was started as."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pydra_nvidia_fake.mps import trouble, v2, v3, wire
from pydra_nvidia_fake.mps.servers import Status
from pydra_nvidia_fake.mps.service import Caller, Service, Share

PID_FILE = "nvidia-cuda-mps-control.pid"
_PRIVILEGED, _LOCK, _LOG = "control_privileged", "control_lock", "log"


class Log:
    """`control.log`, and standard output in the foreground. A folder that takes no files is no error."""

    def __init__(self, folder: str, *, aloud: bool) -> None:
        self._files: list[IO[str]] = []
        with suppress(OSError):
            Path(folder).mkdir(mode=0o700, exist_ok=True)
            Path(folder, "server.log").touch()
            file = os.open(
                Path(folder, "control.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
            )
            self._files.append(os.fdopen(file, "w", encoding="utf-8"))
        if aloud:
            self._files.append(os.fdopen(os.dup(1), "w", encoding="utf-8"))

    def write(self, text: str) -> None:
        """One line, with time and process."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        for file in self._files:
            with suppress(OSError):
                file.write(
                    f"[{stamp}.{int(now * 1000) % 1000:03} Control {os.getpid():5}] {text}\n"
                )
                file.flush()


class Daemon:
    """Serves a folder."""

    def __init__(self, folder: str, log: Log) -> None:
        self._folder = Path(folder)
        self._log = log
        self.log = log.write
        self._service: Service
        self._ended = threading.Event()
        self._status = 0
        self._offered: dict[tuple[str, str], socket.socket] = {}

    def take(self) -> str | None:
        """Make the folder ours, and listen; returns what is said if that cannot be, which may be nothing."""
        try:
            self._folder.mkdir(exist_ok=True)
            self._folder.chmod(0o777)
            self._lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return f"Cannot access CUDA_MPS_PIPE_DIRECTORY={self._folder}"
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "An instance of this daemon is already running"
        for name in (wire.SOCKET, _PRIVILEGED, _LOG):
            (self._folder / name).unlink(missing_ok=True)
        os.mkfifo(self._folder / _LOG)
        (self._folder / _LOG).chmod(0o777)
        try:
            self._control = listen(self._folder / wire.SOCKET)
            self._privileged = listen(self._folder / _PRIVILEGED, 0o755)
        except OSError:
            return ""  # a path that is too long: the real one ends without a word, too
        (self._folder / PID_FILE).write_text(str(os.getpid()), encoding="ascii")
        for name in (_LOCK, PID_FILE):
            (self._folder / name).chmod(0o666)
        self._log.write(f"Starting control daemon using socket {self._folder / wire.SOCKET}")
        self._log.write(
            f"To connect CUDA applications to this daemon, set env CUDA_MPS_PIPE_DIRECTORY={self._folder}"
        )
        return None

    def serve(self, service: Service) -> int:
        """Until somebody says quit; returns the exit status, 0 if all servers ended well."""
        self._service = service
        self._accept_in_thread(self._control, "", "")
        self._ended.wait()
        self._log.write(f"Exit with status {self._status}")
        for name in (PID_FILE, _LOG):
            (self._folder / name).unlink(missing_ok=True)
        return self._status

    def offer(self, server: str, space: str) -> None:
        """Let programs connect to a server and a namespace of it.

        Raises:
            OSError: the path is too long.
        """
        folder = self._folder / server / space
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        (folder / wire.SOCKET).unlink(missing_ok=True)
        self._offered[server, space] = listen(folder / wire.SOCKET)
        self._accept_in_thread(self._offered[server, space], server, space)

    def withdraw(self, server: str, space: str) -> None:
        """Let nobody connect there any more; no namespace means the server with all of them."""
        for key in [key for key in self._offered if key == (server, space) or not space]:
            if key[0] == server:
                self._offered.pop(key).close()
        shutil.rmtree(self._folder / server / space, ignore_errors=True)

    def _accept_in_thread(self, listening: socket.socket, server: str, space: str) -> None:
        arguments = (listening, server, space)
        threading.Thread(target=self._accept, args=arguments, daemon=True).start()

    def _accept(self, listening: socket.socket, server: str, space: str) -> None:
        while True:
            try:
                met, _ = listening.accept()
            except OSError:
                return
            self._log.write("Accepting connection...")
            threading.Thread(target=self._meet, args=(met, server, space), daemon=True).start()

    def _meet(self, met: socket.socket, server: str, space: str) -> None:
        with met, met.makefile("r", encoding="utf-8") as lines, suppress(OSError, ValueError):
            said: dict[str, Any] = json.loads(lines.readline())
            if "program" in said:
                self._program(said["program"], met, lines, server, space)
                return
            self._log.write("NEW UI")
            while said:
                answer = self._ui(said)
                if answer is None:
                    threading.Event().wait()
                else:
                    met.sendall(wire.line(answer))
                said = json.loads(lines.readline() or "{}")
            self._log.write("UI closed")

    def _ui(self, said: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a command; None if it is never answered."""
        line = " ".join(said["line"].split())
        self._log.write(f"Cmd:{said['line']}")
        met = trouble.met(self._service.tool, line)
        if met and met.kind == trouble.DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        if met and met.kind == trouble.HANG:
            return None
        if met and met.kind == trouble.DELAY:
            time.sleep(met.value)
        if met and met.kind == trouble.REFUSE:
            return {"text": met.says, "exit": int(met.value)}
        if line == "quit" or line.startswith("quit "):
            return self._quit(line.split()[1:])
        with self._service.changed:
            text, status = self._answer(said)
        if text:
            self._log.write(text)
        return {"text": text, "exit": status}

    def _answer(self, said: dict[str, Any]) -> tuple[str, int]:
        if self._service.v3:
            return v3.answer(self._service, said["uid"], said["argv"] or said["line"].split())
        return v2.answer(self._service, said["uid"], said["line"]), 0

    def _quit(self, words: list[str]) -> dict[str, Any]:
        """Wait for clients to leave, or for as long as is said, and end."""
        service = self._service
        patience = float(words[1]) if words[:1] == ["-t"] and len(words) > 1 else None
        with service.changed:
            service.closing = True
            service.changed.notify_all()
            left = service.changed.wait_for(
                lambda: not any(s.clients for s in service.servers), patience
            )
            for server in list(service.servers):
                service.stop(server)
        self._status = 0 if left and service.graceful else 1
        self._ended.set()
        return {"text": "", "exit": self._status}

    def _program(
        self, said: dict[str, Any], met: socket.socket, lines: IO[str], server: str, space: str
    ) -> None:
        """Serve a program until it is gone."""
        trouble_met = trouble.met(self._service.tool, trouble.ATTACH)
        if trouble_met and trouble_met.kind == trouble.HANG:
            threading.Event().wait()
        caller = Caller(**said, tell=_teller(met))
        with self._service.changed:
            got = self._service.admit(caller, server, space)
        if trouble_met and trouble_met.kind == trouble.REFUSE:
            got = Status(int(trouble_met.value))
        if isinstance(got, Status):
            met.sendall(wire.line({"error": int(got)}))
            return
        try:
            met.sendall(wire.line(_shown(got)))
            for line in lines:
                if "fault" in json.loads(line):
                    with self._service.changed:
                        self._service.fault(got)
        finally:
            with self._service.changed:
                self._service.leave(got)


def listen(path: Path, mode: int = 0o666) -> socket.socket:
    """A socket, for everybody if it is not said otherwise."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.bind(str(path))
    path.chmod(mode)
    found.listen(64)
    return found


def _teller(met: socket.socket) -> Callable[[Status], None]:
    def tell(status: Status) -> None:
        with suppress(OSError):
            met.sendall(wire.line({"error": int(status)}))

    return tell


def _shown(got: Share) -> dict[str, Any]:
    gpu = got.client.gpu
    return {
        "error": 0,
        "gpu": gpu.uuid,
        "sms": got.sms,
        "total_sms": gpu.sm,
        "percent": got.percent,
        "memory": got.memory,
        "total_memory": gpu.memory,
        "server": got.server.pid,
        "namespace": got.client.space,
    }
