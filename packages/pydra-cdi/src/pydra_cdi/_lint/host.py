"""What a spec says about the host against what the host says: mounts, device nodes, hooks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator

from pydra_cdi._lint.finding import Remark, Severity, blocks
from pydra_cdi._tree import HostTree
from pydra_cdi.errors import shown
from pydra_cdi.host import node_type
from pydra_cdi.model import DeviceNode, Hook, Mount, Spec

_EXECUTABLE = 0o111
_BINDS = frozenset({"bind", "rbind"})
_NO_FILE_SYSTEM = frozenset({"", "none", "bind", "rbind"})


def host_remarks(spec: Spec, host: HostTree) -> Iterator[Remark]:
    """Look every host path of a spec up in a host's file system."""
    for at, edits in blocks(spec):
        for index, node in enumerate(edits.device_nodes):
            yield from _node(node, f"{at}.deviceNodes[{index}]", host)
        for index, mount in enumerate(edits.mounts):
            yield from _mount(mount, f"{at}.mounts[{index}]", host)
        for index, hook in enumerate(edits.hooks):
            yield from _hook(hook, f"{at}.hooks[{index}].path", host)


def _mount(mount: Mount, at: str, host: HostTree) -> Iterator[Remark]:
    if mount.type not in _NO_FILE_SYSTEM and _BINDS.isdisjoint(mount.options):
        return  # a file system of its own, like tmpfs: the host path is a name only
    yield from _crooked(mount.container_path, f"{at}.containerPath")
    yield from _look(mount.host_path, f"{at}.hostPath", host)


def _node(node: DeviceNode, at: str, host: HostTree) -> Iterator[Remark]:
    at = f"{at}.hostPath" if node.host_path else f"{at}.path"
    path = node.host_path or node.path
    found = yield from _look(path, at, host, is_needed=not node.is_fully_given)
    if found is None:
        return
    if not node.is_fully_given and host.is_symlink(path):
        message = f"{shown(path)} of the host is a symlink, which runtimes do not follow here"
        yield Remark("error", "node-is-symlink", at, message, "name what it points to")
    host_type = node_type(found)
    if host_type is None:
        message = f"{shown(path)} of the host is no device node"
        yield Remark("error", "no-device-node", at, message, "correct the path, or mount it")
    elif (said := _said(node)) != (is_now := _is(node, host_type, found.st_rdev)):
        message = f"the spec says {said} and {shown(path)} of the host is {is_now}"
        remedy = "write the spec again: device numbers can change when a module is loaded or a device appears"
        yield Remark("error", "node-changed", at, message, remedy)


def _said(node: DeviceNode) -> str:
    """Spell what the spec says of type and numbers; what it leaves open is left out, as in `_is`."""
    numbers = f"{node.major}:{node.minor}" if node.major else ""
    return " ".join(filter(None, (node.type.replace("u", "c"), numbers)))


def _is(node: DeviceNode, host_type: str, device: int) -> str:
    numbers = f"{os.major(device)}:{os.minor(device)}" if node.major else ""
    return " ".join(filter(None, (host_type if node.type else "", numbers)))


def _hook(hook: Hook, at: str, host: HostTree) -> Iterator[Remark]:
    found = yield from _look(hook.path, at, host)
    if found is not None and not (stat.S_ISREG(found.st_mode) and found.st_mode & _EXECUTABLE):
        message = (
            f"{shown(hook.path)} of the host is no program: it is no file that may be executed"
        )
        yield Remark("error", "hook-not-executable", at, message, "make it executable (chmod a+x)")


def _look(
    path: str, at: str, host: HostTree, *, is_needed: bool = True
) -> Generator[Remark, None, os.stat_result | None]:
    """Look a path up, following symlinks; remark on what is odd about it, return what is there."""
    yield from _crooked(path, at)
    try:
        return host.stat(path)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
            message = f"{shown(path)} of the host cannot be looked at: {error.strerror}"
            remedy = "run this as root on the node, or correct the path"
            yield Remark("warning", "host-path-unknown", at, message, remedy)
            return None
    severity: Severity = "error" if is_needed else "warning"
    if host.is_symlink(path):
        message = f"{shown(path)} of the host is a symlink to nothing"
        yield Remark(severity, "symlink-dangling", at, message, "mend the link, or name a path")
    else:
        message = f"{shown(path)} does not exist on the host"
        remedy = "install what brings it, write the spec again, or take the entry out"
        yield Remark(severity, "host-path-missing", at, message, remedy)
    return None


def _crooked(path: str, at: str) -> Iterator[Remark]:
    if not path.startswith("/"):
        message = f"{shown(path)} is not absolute, so where it leads depends on the runtime"
        yield Remark("warning", "path-crooked", at, message, "begin it with '/'")
    elif ".." in path.split("/"):
        message = f"{shown(path)} goes up by '..'"
        yield Remark("warning", "path-crooked", at, message, "write the path it leads to")
