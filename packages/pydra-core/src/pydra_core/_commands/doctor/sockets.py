"""The driver's two sockets: do their paths fit, and who is behind the files that are there already."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path

from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.legacy import mode_of
from pydra_core._commands.doctor.results import Result, finding, ok
from pydra_core._commands.doctor.subject import Subject
from pydra_core._node.sockets import MAX_SOCKET_PATH, Sockets, locate
from pydra_core.errors import ConfigError

_PATIENCE = 1.0


class Behind(Enum):
    """Who answers at a path."""

    NOTHING_THERE = auto()
    NO_SOCKET = auto()
    NOBODY = auto()
    SOMEBODY = auto()
    UNKNOWN = auto()


def look(subject: Subject) -> Iterator[Result]:
    """Lengths first; instances only where the paths are known."""
    try:
        sockets = locate(subject.settings, subject.driver.name)
    except ConfigError as err:
        yield _too_long(err)
        return
    yield ok("socket: DRA length", _length(str(sockets.service)))
    yield ok("socket: registration length", _length(str(sockets.registration)))
    yield from _endpoint(sockets)
    mode = mode_of(subject)
    yield from _instances(sockets, subject.driver.name, is_hidden=mode is not None and not mode.dra)


def _length(path: str) -> str:
    return f"{len(path.encode())} of {MAX_SOCKET_PATH} bytes: {path}"


def _too_long(err: ConfigError) -> Result:
    path = str(err.fields["source"])
    excess = len(path.encode()) - MAX_SOCKET_PATH
    if err.fields["key"] == "kubelet_socket_path":
        fix = f"set KUBELET_SOCKET_PATH to a path that is {excess} bytes shorter"
        return finding(Finding.SOCKET_LENGTH, "socket: endpoint length", _length(path), fix)
    return finding(
        Finding.SOCKET_LENGTH,
        "socket: length",
        _length(path),
        f"use a kubelet root (KUBELET_ROOT) that is at least {excess} bytes shorter, or set SOCKET_PATH and"
        f" REGISTRATION_SOCKET_PATH to paths of at most {MAX_SOCKET_PATH} bytes",
    )


def _endpoint(sockets: Sockets) -> Iterator[Result]:
    """The path the kubelet is told, if it is another than ours."""
    if sockets.endpoint != str(sockets.service):
        yield ok("socket: endpoint length", _length(sockets.endpoint))


def _instances(sockets: Sockets, driver: str, *, is_hidden: bool) -> Iterator[Result]:
    pair = [(path, behind(path)) for path in (sockets.service, sockets.registration)]
    for path, who in pair:
        if who is Behind.NO_SOCKET:
            fix = f"move it away: mv {path} {path}.old"
            yield finding(
                Finding.SOCKET_BLOCKED, "socket: instances", f"{path} is a file, not a socket", fix
            )
        elif who is Behind.UNKNOWN:
            seen = f"{path} cannot be tried"
            yield finding(
                Finding.SOCKET_BLOCKED,
                "socket: instances",
                seen,
                "run this as the user the driver runs as (root)",
            )
    service, registration = (who for _, who in pair)
    if is_hidden and (service, registration) == (Behind.SOMEBODY, Behind.NOTHING_THERE):
        yield ok("socket: instances", "a driver of this name serves here, and does not offer DRA")
    else:
        yield from _pair([service, registration], sockets)
    yield from _strays(sockets, driver)


def _pair(who: list[Behind], sockets: Sockets) -> Iterator[Result]:
    service, registration = who
    if service is registration is Behind.SOMEBODY:
        yield ok("socket: instances", "a driver of this name serves here; a second one is refused")
    elif registration is Behind.SOMEBODY:
        yield finding(
            Finding.SOCKET_HALF,
            "socket: instances",
            f"{sockets.registration} answers but {sockets.service} does not: the kubelet cannot call the driver",
            "restart the driver (delete its pod)",
        )
    elif service is Behind.SOMEBODY:
        yield finding(
            Finding.SOCKET_HALF,
            "socket: instances",
            f"{sockets.service} answers but {sockets.registration} does not: the kubelet does not find the driver",
            "restart the driver (delete its pod)",
        )
    elif Behind.NOBODY in who:
        yield ok("socket: instances", "left by a dead instance; the next start removes it")
    elif who == [Behind.NOTHING_THERE] * 2:
        yield ok("socket: instances", "none is running")


def _strays(sockets: Sockets, driver: str) -> Iterator[Result]:
    """Sockets of other pods of this driver: the kubelet keeps dialling those nobody answers."""
    ours = {sockets.service, sockets.registration}
    for directory, pattern in (
        (sockets.registration.parent, f"{driver}-*-reg.sock"),
        (sockets.service.parent, "dra-*.sock"),
    ):
        for path in sorted(set(directory.glob(pattern)) - ours):
            if behind(path) is Behind.NOBODY:
                seen = f"{path}: left by a dead instance; the kubelet keeps trying it"
                yield finding(Finding.SOCKET_STRAY, "socket: strays", seen, f"rm {path}")


def behind(path: Path) -> Behind:
    """Dial `path` and hang up at once."""
    if not path.exists():
        return Behind.NOTHING_THERE
    if not path.is_socket():
        return Behind.NO_SOCKET
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except TimeoutError:  # its queue is full: somebody listens and is busy
            return Behind.SOMEBODY
        except OSError as err:
            if err.errno == errno.EAGAIN:
                return Behind.SOMEBODY
            return Behind.NOBODY if err.errno == errno.ECONNREFUSED else Behind.UNKNOWN
    return Behind.SOMEBODY
