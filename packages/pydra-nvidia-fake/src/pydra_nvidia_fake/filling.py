"""From a description to the state of a machine: every number the stub will answer with."""

from __future__ import annotations

import ctypes
import hashlib
import uuid
from collections.abc import Iterator

from pydra_nvidia_fake.description import Description
from pydra_nvidia_fake.layout import NONE, Gpu, State

MIB = 1 << 20
ANCESTORS = {"PIX": 10, "PXB": 20, "PHB": 30, "NODE": 40, "SYS": 50}
_TO_GPU, _TO_SWITCH = 0, 2
_SWITCHES = 4
_SWITCH_DEVICE = 0x22A310DE
_NO_CELSIUS = 34


def fill(state: State, description: Description, proc: str) -> None:
    """Make the machine new. `proc` is where the kernel shows its partitions, below the host's folder."""
    ctypes.memset(ctypes.addressof(state), 0, ctypes.sizeof(state))
    state.size = ctypes.sizeof(state)
    state.driver = state.kernel = state.gsp = description.driver.encode()
    state.nvml = f"{description.cuda // 1000}.{description.driver}".encode()
    state.branch = f"r{description.driver.split('.', maxsplit=1)[0]}_00".encode()
    state.cuda = description.cuda
    state.n_gpus = len(description.bus)
    state.proc = proc.encode()
    for index in range(state.n_gpus):
        _fill_gpu(state.gpus[index], description, index)
        for other in range(state.n_gpus):
            state.ancestors[index][other] = ancestor(description, index, other)


def ancestor(description: Description, one: int, other: int) -> int:
    """NVML's level for two GPUs; NVLink hides it in the matrix, so there `near` and NUMA nodes tell."""
    topology = description.topology
    word = topology.matrix[one][other]
    for level, groups in topology.near.items():
        if one != other and any(one in group and other in group for group in groups):
            return ANCESTORS[level]
    if one == other:
        return 0
    same = topology.numa[one] == topology.numa[other]
    return ANCESTORS.get(word, ANCESTORS["NODE"] if same else ANCESTORS["SYS"])


def roots(description: Description) -> tuple[str, ...]:
    """The PCIe root of each GPU: one for those that meet at or below a host bridge."""
    found: list[str] = []
    for index, bus in enumerate(description.bus):
        met = [o for o in range(index) if ancestor(description, index, o) <= ANCESTORS["PHB"]]
        domain = description.domains[index]
        found.append(found[met[0]] if met else f"pci{domain:04x}:{max(0, bus - 1):02x}")
    return tuple(found)


def _fill_gpu(gpu: Gpu, description: Description, index: int) -> None:
    model = description.model
    seed = f"{description.name}/{index}"
    gpu.index, gpu.minor = index, description.minors[index]
    gpu.uuid = f"GPU-{uuid.UUID(hashlib.md5(seed.encode()).hexdigest())}".encode()  # noqa: S324 - a name, no secret
    gpu.name, gpu.brand, gpu.architecture = (
        model["name"].encode(),
        model["brand"],
        model["architecture"],
    )
    gpu.cc_major, gpu.cc_minor = model["capability"]
    gpu.serial = f"16{int(gpu.uuid[4:12], 16):011d}".encode() if model.get("serial", True) else b""
    gpu.vbios, gpu.board_part = model["vbios"].encode(), model["board_part"].encode()
    gpu.module_id = index + 1 if model.get("module", True) else NONE
    gpu.domain, gpu.bus, gpu.device = (
        description.domains[index],
        description.bus[index],
        description.device,
    )
    gpu.pci_device, gpu.pci_subsystem = model["pci"], 0x16C110DE
    gpu.numa = description.topology.numa[index]
    gpu.memory_total, gpu.memory_reserved = model["memory"] * MIB, model["reserved"] * MIB
    gpu.bar1_total, gpu.events_supported = model["bar1"] * MIB, model["events"]
    gpu.sm, gpu.power_limit = model["sm"], model["power"] * 1000
    for name in ("addressing", "virtualization", "persistence", "compute_mode"):
        setattr(gpu, name, model[name])
    _fill_health(gpu, description)
    _fill_partitions(gpu, description, index)
    _fill_links(gpu, description, index)
    _fill_fabric(gpu, description)


def _fill_health(gpu: Gpu, description: Description) -> None:
    model = description.model
    gpu.ecc_current = gpu.ecc_pending = 1 if model["ecc"] else NONE
    gpu.row_remaps, gpu.retires = int(model["row_remaps"]), int(model["retires"])
    gpu.temperature, gpu.slowdowns = _NO_CELSIUS, 1  # idle
    gpu.slowdown_at, gpu.shutdown_at = model["slowdown_at"], model["shutdown_at"]
    new = int(description.driver.split(".")[0])
    gpu.recovery = 0 if model["recovery"] and new >= 565 else NONE  # noqa: PLR2004 - the branch that has it
    gpu.repair_channel = 0 if model["repair"] and new >= 575 else NONE  # noqa: PLR2004 - likewise
    if new < 545:  # noqa: PLR2004 - likewise
        gpu.addressing = NONE


def _fill_partitions(gpu: Gpu, description: Description, index: int) -> None:
    gpu.slices, gpu.memory_slices = description.slices
    on = int(index in description.partitioned) if description.profiles else NONE
    gpu.mig_current = gpu.mig_pending = on
    gpu.mig_needs_reset = int(description.model["mig_needs_reset"])
    gpu.n_profiles = len(description.profiles)
    for profile, row in zip(gpu.profiles, description.profiles, strict=False):
        profile.name = row["name"].encode()
        profile.n_starts = len(row["starts"])
        profile.starts[: profile.n_starts] = row["starts"]
        for key in (
            *("memory_mib", "number", "id", "slices", "most", "size"),
            *("sm", "ce", "dec", "enc", "jpg", "ofa"),
        ):
            setattr(profile, key, row[key])


def _fill_links(gpu: Gpu, description: Description, index: int) -> None:
    gpu.n_links = description.model.get("links", 0)
    ends = list(_ends(description, index))
    for number, link in enumerate(gpu.links[: gpu.n_links]):
        link.version = description.model["link_version"]
        if number < len(ends):
            link.active = 1
            link.remote, link.domain, link.bus, link.device, link.pci_device = ends[number]


def _ends(description: Description, index: int) -> Iterator[tuple[int, int, int, int, int]]:
    """What is at the other end of each link that has one: switches if each GPU sees all others by all its links."""
    row = description.topology.matrix[index]
    peers = {o: int(word[2:]) for o, word in enumerate(row) if word.startswith("NV")}
    most = description.model.get("links", 0)
    if peers and all(count == most for count in peers.values()):
        for number in range(most):
            yield _TO_SWITCH, 0, 0xC0 + number % _SWITCHES, 0, _SWITCH_DEVICE
        return
    device = description.model["pci"]
    for other, count in peers.items():
        for _ in range(count):
            at = description.domains[other], description.bus[other], description.device
            yield _TO_GPU, *at, device


def _fill_fabric(gpu: Gpu, description: Description) -> None:
    if not description.model.get("fabric"):
        gpu.fabric_state = NONE
        return
    gpu.fabric_state = 3
    identity = uuid.UUID(description.fabric)
    ctypes.memmove(_address(gpu, "fabric_uuid"), identity.bytes, 16)
    gpu.fabric_clique = description.clique
    gpu.fabric_mask, gpu.fabric_summary = 0x2AA, 1  # every part of it: no


def _address(gpu: Gpu, name: str) -> int:
    return ctypes.addressof(gpu) + int(getattr(Gpu, name).offset)
