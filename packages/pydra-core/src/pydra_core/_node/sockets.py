"""Where the two sockets lie, and that their paths fit.

`sun_path` holds 107 bytes and a NUL. The kubelet root and the driver name are not ours to choose, so a path
that would not fit is shortened, always to the same name, and one that cannot be is refused with the bytes
counted.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from dataclasses import dataclass
from pathlib import Path

from pydra_core.errors import ConfigError
from pydra_core.settings import Settings

MAX_SOCKET_PATH = 107


@dataclass(frozen=True, slots=True)
class Sockets:
    """Paths of one driver instance: two to bind, one to advertise, and the data directory."""

    registration: Path
    service: Path
    endpoint: str
    data_dir: Path


def locate(settings: Settings, driver: str) -> Sockets:
    """Derive the paths from the kubelet root, or take the operator's.

    Raises:
        ConfigError: a path does not fit a socket address even when shortened.
    """
    root = settings.kubelet_root
    data_dir = root / "plugins" / driver
    service = (
        Path(settings.socket_path)
        if settings.socket_path
        else _fit(data_dir, "dra", ".sock", driver)
    )
    if settings.registration_socket_path:
        registration = Path(settings.registration_socket_path)
    else:
        registration = _fit(root / "plugins_registry", driver, "-reg.sock", driver)
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


def _fit(directory: Path, stem: str, suffix: str, driver: str) -> Path:
    path = directory / (stem + suffix)
    if _length(path) <= MAX_SOCKET_PATH:
        return path
    digest = base64.urlsafe_b64encode(hashlib.sha256(driver.encode()).digest()[:9]).decode()
    short_parent = directory if directory.name == "plugins_registry" else directory.parent
    return short_parent / f"{digest}{suffix}"


def _check(path: Path) -> None:
    length = _length(path)
    if length > MAX_SOCKET_PATH:
        raise ConfigError(
            f"socket path {path}: {length} bytes, the kernel takes {MAX_SOCKET_PATH};"
            f" shorten the kubelet root by {length - MAX_SOCKET_PATH} bytes or set a shorter path",
            key="kubelet_root",
            source=str(path),
        )


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
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(
            f"socket path {path}: a file that is no socket is in the way; move it",
            key="",
            source="",
        )
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise ConfigError(
        f"socket path {path}: another driver of this name answers there; stop it first",
        key="",
        source=str(path),
    )
