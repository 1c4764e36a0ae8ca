"""Where the two sockets lie, and that their paths fit.

`sun_path` holds 107 bytes and a NUL. The kubelet root and the driver name are not ours to choose, so a path
that would not fit is shortened, always to the same name, and one that cannot be is refused with the bytes
counted.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydra_core.errors import ConfigError
from pydra_core.settings import Settings

MAX_SOCKET_PATH = 107
PLUGINS = "device-plugins"
"""The kubelet's folder below its root, where it listens for device plugins and dials them."""
_YOUNG = 10.0
"""Seconds for which a socket nobody answers may still be about to be served."""
_POD_UID = "(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_DIGEST = "[A-Za-z0-9_-]{12}"


class Server(Protocol):
    """What the two kinds of gRPC servers have in common."""

    def add_insecure_port(self, address: str) -> int:
        """Listen there too. Raises RuntimeError, without a reason."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Paths of one driver instance: two to bind, one to advertise, and the data directory."""

    registration: Path
    service: Path
    endpoint: str
    data_dir: Path


def locate(settings: Settings, driver: str) -> Sockets:
    """Derive the paths from the kubelet root, or take the operator's.

    With a pod UID both names hold it, so that two instances of a rolling upgrade do not meet.

    Raises:
        ConfigError: a path does not fit a socket address even when shortened.
    """
    root, pod = settings.kubelet_root, settings.pod_uid
    data_dir = root / "plugins" / driver
    short = "-".join(_digest(part) for part in (driver, pod) if part)
    own = f"-{pod}" if pod else ""
    if settings.socket_path:
        service = Path(settings.socket_path)
    else:
        service = _fit(data_dir / f"dra{own}.sock", data_dir.parent / f"{short}.sock")
    if settings.registration_socket_path:
        registration = Path(settings.registration_socket_path)
    else:
        registry = root / "plugins_registry"
        registration = _fit(registry / f"{driver}{own}-reg.sock", registry / f"{short}-reg.sock")
    endpoint = settings.kubelet_socket_path or str(service)
    for path in (service, registration):
        _check(path)
    if len(endpoint.encode()) > MAX_SOCKET_PATH:
        raise ConfigError(
            f"setting kubelet_socket_path: {endpoint}: {len(endpoint.encode())} bytes, the kubelet's kernel takes"
            f" {MAX_SOCKET_PATH}; shorten it",
            key="kubelet_socket_path",
            source=endpoint,
        )
    return Sockets(registration, service, endpoint, data_dir)


@dataclass(frozen=True, slots=True)
class ResourceSockets:
    """Paths for one extended resource of one driver instance.

    `service` lies where the kubelet dials device plugins. Where that folder cannot be used, `elsewhere` is served and
    shown to the kubelet by `registration`.
    """

    service: Path
    elsewhere: Path
    registration: Path
    kubelet: Path


def locate_resource(settings: Settings, driver: str, resource: str) -> ResourceSockets:
    """Derive the paths of a resource from the kubelet root; no two instances or resources share one.

    Raises:
        ConfigError: a path does not fit a socket address even when shortened.
    """
    root = settings.kubelet_root
    folder, plugins, registry = root / PLUGINS, root / "plugins", root / "plugins_registry"
    short, own = _digest(driver), _digest(f"{resource}\0{settings.pod_uid}")
    found = ResourceSockets(
        service=_fit(folder / f"{driver}-{own}.sock", folder / f"{short}-{own}.sock"),
        elsewhere=plugins / f"{short}-{own}.sock",
        registration=_fit(
            registry / f"{driver}-{own}-reg.sock", registry / f"{short}-{own}-reg.sock"
        ),
        kubelet=folder / "kubelet.sock",
    )
    for path in (found.service, found.elsewhere, found.registration):
        _check(path)
    return found


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:9]).decode()


def _fit(path: Path, shorter: Path) -> Path:
    return path if _length(path) <= MAX_SOCKET_PATH else shorter


def _check(path: Path) -> None:
    if not path.is_absolute():
        raise ConfigError(
            f"socket path {path}: is not absolute, and the kubelet looks from a directory of its own; set the kubelet"
            " root as the host knows it",
            key="kubelet_root",
            source=str(path),
        )
    length = _length(path)
    if length > MAX_SOCKET_PATH:
        raise ConfigError(
            f"socket path {path}: {length} bytes, the kernel takes {MAX_SOCKET_PATH};"
            f" shorten the kubelet root by {length - MAX_SOCKET_PATH} bytes or set a shorter path",
            key="kubelet_root",
            source=str(path),
        )


def instances_sockets(settings: Settings, driver: str) -> Iterator[Path]:
    """Yield the socket files of all instances of this driver, also of those that died without removing them."""
    root, short = settings.kubelet_root, re.escape(_digest(driver))
    data_dir = root / "plugins" / driver
    for directory, pattern in (
        (data_dir, rf"dra(-{_POD_UID})?\.sock"),
        (data_dir.parent, rf"{short}(-{_DIGEST})?\.sock"),
        (
            root / "plugins_registry",
            rf"({re.escape(driver)}(-{_POD_UID}|-{_DIGEST})?|{short}(-{_DIGEST})?)-reg\.sock",
        ),
        (root / PLUGINS, rf"({re.escape(driver)}|{short})-{_DIGEST}\.sock"),
    ):
        with suppress(OSError):
            yield from sorted(p for p in directory.iterdir() if re.fullmatch(pattern, p.name))


def remove_dead(settings: Settings, driver: str, *, young: float = _YOUNG) -> tuple[Path, ...]:
    """Remove sockets that killed instances left: the kubelet would dial them for ever (trap of upgrades).

    A socket nobody answers may be one that is just being bound, so those of less than `young` seconds stay.

    Returns:
        What was removed.
    """
    removed = []
    for path in instances_sockets(settings, driver):
        with suppress(OSError):
            old = time.time() - path.lstat().st_ctime > young
            if old and path.is_socket() and not is_served(path):
                path.unlink()
                removed.append(path)
    return tuple(removed)


def is_served(path: Path) -> bool:
    """Whether somebody listens on a socket. Raises OSError when that cannot be told."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # a full queue is an answer too
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there: a new one may have the inode number of one that was removed, but not its time too."""
    with suppress(OSError):
        status = path.lstat()
        return status.st_ino, status.st_ctime_ns
    return None


def bind(server: Server, path: Path) -> None:
    """Put a server on a Unix socket.

    Raises:
        ConfigError: it cannot be bound there; says why, which gRPC keeps to itself.
    """
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as err:
        raise ConfigError(
            f"socket path {path}: cannot be bound: {_why_unbound(path)}; it must lie in a directory this driver may"
            " write to, on a file system that is not read-only: check the kubelet root and the mounts",
            key="kubelet_root",
            source=str(path),
        ) from err


def _why_unbound(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(path))
        except OSError as err:
            return err.strerror or str(err)
    path.unlink(missing_ok=True)
    return "gRPC does not tell"


def _length(path: Path) -> int:
    return len(str(path).encode())


def remove_stale(path: Path) -> None:
    """Remove a socket file nobody listens on, so that it can be bound; create its directory.

    Raises:
        ConfigError: somebody listens there, or the path is not a socket.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as err:
        raise ConfigError(
            f"socket path {path}: its directory cannot be made: {err.strerror}; check the kubelet root and the mounts",
            key="kubelet_root",
            source=str(path),
        ) from err
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise ConfigError(
            f"socket path {path}: a file that is no socket is in the way; move it",
            key="",
            source="",
        )
    with suppress(OSError):
        if is_served(path):
            raise ConfigError(
                f"socket path {path}: another driver of this name answers there; stop it first",
                key="",
                source=str(path),
            )
    path.unlink(missing_ok=True)
