"""What container edits may say; `validation` asks it for the edits of a spec and of each device.

Rests on the CDI specification, section "containerEdits", as the reference library applies it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydra_cdi.errors import Fault, shown
from pydra_cdi.model import ContainerEdits, DeviceNode, Hook, IntelRdt, Mount

HOOK_NAMES = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)
NODE_TYPES = frozenset({"", "b", "c", "u", "p"})
_ACCESS = frozenset("rwm")
_MAX_CLOS_ID = 4096


def edits_faults(edits: ContainerEdits, at: str) -> Iterator[Fault]:
    """Yield every broken rule of one block of edits that lies at path `at`."""
    yield from env_faults(edits.env, f"{at}.env")
    for index, node in enumerate(edits.device_nodes):
        yield from _node_faults(node, f"{at}.deviceNodes[{index}]")
    for index, hook in enumerate(edits.hooks):
        yield from _hook_faults(hook, f"{at}.hooks[{index}]")
    for index, mount in enumerate(edits.mounts):
        yield from _mount_faults(mount, f"{at}.mounts[{index}]")
    if edits.intel_rdt is not None:
        yield from _rdt_faults(edits.intel_rdt, f"{at}.intelRdt")
    if edits.net_devices:
        yield from _net_faults(edits, f"{at}.netDevices")


def unbound_mounts(edits: ContainerEdits, at: str) -> Iterator[Fault]:
    """Yield mounts that no runtime can make: neither a type nor an option says what to mount.

    The reference library lets them pass and the container start fails, so only our own output is held to it.
    """
    for index, mount in enumerate(edits.mounts):
        if not mount.type and not {"bind", "rbind"}.intersection(mount.options):
            yield Fault(
                f"{at}.mounts[{index}].options",
                "neither 'bind' nor 'rbind' is among the options and no type is given",
                "add 'rbind' (a tree) or 'bind' (one file system) to the options",
            )


def env_faults(env: Sequence[str], at: str) -> Iterator[Fault]:
    """Yield the entries that are not NAME=value."""
    for index, entry in enumerate(env):
        if entry.find("=") < 1:
            yield Fault(
                f"{at}[{index}]",
                f"{shown(entry)} is not NAME=value",
                "put a name and '=' before the value",
            )


def _node_faults(node: DeviceNode, at: str) -> Iterator[Fault]:
    if not node.path:
        yield _empty(f"{at}.path", "the path of the node in the container, like '/dev/card0'")
    if node.type not in NODE_TYPES:
        remedy = "use 'c' (character), 'b' (block), 'p' (fifo), 'u' (unbuffered character) or leave it out"
        yield Fault(f"{at}.type", f"{shown(node.type)} is no type of device node", remedy)
    if node.permissions != "none" and not _ACCESS.issuperset(node.permissions):
        remedy = "use a set of 'r', 'w' and 'm', like 'rw', or the word 'none'"
        yield Fault(f"{at}.permissions", f"{shown(node.permissions)} is no cgroup access", remedy)


def _hook_faults(hook: Hook, at: str) -> Iterator[Fault]:
    if hook.hook_name not in HOOK_NAMES:
        remedy = f"use one of {', '.join(HOOK_NAMES)}"
        yield Fault(f"{at}.hookName", f"{shown(hook.hook_name)} is no stage a hook runs at", remedy)
    if not hook.path:
        yield _empty(f"{at}.path", "the absolute path of the program to run")
    yield from env_faults(hook.env, f"{at}.env")


def _mount_faults(mount: Mount, at: str) -> Iterator[Fault]:
    if not mount.host_path:
        yield _empty(f"{at}.hostPath", "what to mount")
    if not mount.container_path:
        yield _empty(f"{at}.containerPath", "where to mount it in the container")


def _rdt_faults(rdt: IntelRdt, at: str) -> Iterator[Fault]:
    name = rdt.clos_id
    is_root_or_absent = name in {"", "/"}
    is_one_name = not {"/", "\n"}.intersection(name) and name not in {".", ".."}
    if not is_root_or_absent and (not is_one_name or len(name.encode()) >= _MAX_CLOS_ID):
        remedy = f"use one directory name below {_MAX_CLOS_ID} bytes, or '/' for the root class"
        yield Fault(f"{at}.closID", f"{shown(name)} is no class of service", remedy)


def _net_faults(edits: ContainerEdits, at: str) -> Iterator[Fault]:
    hosts: dict[str, int] = {}
    names: dict[str, int] = {}
    for index, device in enumerate(edits.net_devices):
        here = f"{at}[{index}]"
        yield from _name_faults(
            device.host_interface_name, f"{here}.hostInterfaceName", hosts, index
        )
        yield from _name_faults(device.name, f"{here}.name", names, index)


def _name_faults(name: str, at: str, seen: dict[str, int], index: int) -> Iterator[Fault]:
    if not name:
        yield _empty(at, "the name of the interface")
    elif seen.setdefault(name, index) != index:
        message = f"{shown(name)} is used by entry {seen[name]} already"
        yield Fault(at, message, "give each interface its own name")


def _empty(at: str, what: str) -> Fault:
    return Fault(at, "it is empty", f"give {what}")
