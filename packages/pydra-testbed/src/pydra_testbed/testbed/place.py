"""Where a running testbed leaves word of itself: a folder of the user's own, a lock, a state file.

The testbed's process holds the lock as long as it lives, so that a kill -9 of it is noticed by whoever looks next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pydra_core.errors import ConfigError, PydraError


class RunsAlreadyError(PydraError):
    """There is a testbed; names its process."""

    reason = "TestbedRuns"


class NodeState(msgspec.Struct, frozen=True):
    """One node's folders and its driver's process ID, 0 without a driver."""

    name: str
    kubelet_root: str
    cdi_dir: str
    driver: int = 0
    driver_log: str = ""


class State(msgspec.Struct, frozen=True):
    """What others must know of a running testbed; `started` is RFC 3339."""

    pid: int
    url: str
    root: str
    kubeconfig: str
    started: str
    nodes: tuple[NodeState, ...]


class Place:
    """The user's folder for a testbed, below `XDG_RUNTIME_DIR` or the temporary directory."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        hidden = Path(tempfile.gettempdir()) / f".pydra-{os.geteuid()}"
        self.folder = Path(runtime) / "pydra" if runtime else hidden
        self.log = self.folder / "testbed.log"
        self.kubeconfig = self.folder / "kubeconfig"
        self._state = self.folder / "testbed.json"
        self._lock = self.folder / "testbed.lock"

    def make(self) -> None:
        """Create the folder, for this user alone.

        Raises:
            ConfigError: it cannot be made, or it is somebody else's.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.lstat()
        except OSError as err:
            raise self._unusable(f"cannot be made: {err.strerror}") from err
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise self._unusable(
                "is open to other users; remove it, or make it yours with mode 700"
            )

    def read(self) -> State | None:
        """What the last testbed said of itself, whether it runs or not; None if it said nothing."""
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, state: State) -> None:
        """Only while holding the lock."""
        temporary = self._state.with_suffix(".new")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
        temporary.replace(self._state)

    def holder(self) -> int:
        """The process ID of the testbed's process, 0 when nobody holds the lock."""
        if not self.is_taken():
            return 0
        with contextlib.suppress(OSError, ValueError):
            return int(self._lock.read_text(encoding="ascii"))
        return 0

    def is_taken(self) -> bool:
        """Whether a testbed's process is alive."""
        lock = self._try_lock(create=False)
        if lock is None:
            return self._lock.exists()
        os.close(lock)
        return False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Be the testbed of this place for the block; afterwards the folder is gone.

        Raises:
            RunsAlreadyError: somebody is.
        """
        lock = self._try_lock(create=True)
        if lock is None:
            raise self.runs_already()
        os.write(lock, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            self.forget()
            os.close(lock)

    def forget(self) -> None:
        """Remove the folder and the kubeconfig it names; only while nobody or this process holds the lock."""
        state = self.read()
        if state is not None and is_ours(Path(state.kubeconfig), state.url):
            Path(state.kubeconfig).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def runs_already(self) -> RunsAlreadyError:
        state = self.read()
        who = f"process {state.pid}, {state.url}" if state else "it is just being started"
        return RunsAlreadyError(
            f"testbed: one runs already ({who}); `pydra testbed down` stops it,"
            " another XDG_RUNTIME_DIR makes room for a second"
        )

    def _try_lock(self, *, create: bool) -> int | None:
        """The locked descriptor, None if it is another's or, without `create`, not there.

        A holder removes the file at its end: what was locked must still be what the path names.
        """
        while True:
            try:
                flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
                lock = os.open(self._lock, flags, 0o600)
            except FileNotFoundError:
                if not create:
                    return None
                self.make()
                continue
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current(lock):
                    return lock
                os.close(lock)
                continue
            os.close(lock)
            return None

    def _is_current(self, lock: int) -> bool:
        try:
            return os.path.samestat(os.fstat(lock), self._lock.stat())
        except FileNotFoundError:
            return False

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError(
            f"testbed: {self.folder} {why}", key="XDG_RUNTIME_DIR", source="environment"
        )


def is_ours(kubeconfig: Path, url: str = "") -> bool:
    """Whether a file is a testbed's kubeconfig, of the one at `url` if that is given."""
    try:
        text = kubeconfig.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return "current-context: pydra-testbed\n" in text and url in text
