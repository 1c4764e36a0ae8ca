"""The memory that the stub and Python share, said once: `ctypes` here, and the C header is made from it.

Everything a fake machine is lies in one file of this layout: what was described, and what has become of it.
"""

from __future__ import annotations

import ctypes
from ctypes import Array, Structure, c_char, c_int32, c_uint32, c_uint64
from typing import Any, ClassVar

GPUS, PROFILES, STARTS, INSTANCES, COMPUTES = 16, 20, 8, 8, 56
LINKS, FAULTS, EVENTS, PROCESSES = 18, 64, 256, 16
TEXT, PATH = 96, 2048
NONE = 0xFFFFFFFF
"""In a 32 bit field: this GPU has no such thing."""


class Place(Structure):
    """Slices from `start`."""

    _fields_: ClassVar = [("start", c_uint32), ("size", c_uint32)]


class Profile(Structure):
    """A kind of GPU instance. `number` is the argument that asks for it, `id` the one that creates it."""

    _fields_: ClassVar = [
        ("name", c_char * TEXT),
        ("memory_mib", c_uint64),
        *(
            (name, c_uint32)
            for name in ("number", "id", "slices", "most", "sm", "ce", "dec", "enc", "jpg", "ofa")
        ),
        ("starts", c_uint32 * STARTS),
        ("n_starts", c_uint32),
        ("size", c_uint32),
    ]


class GpuInstance(Structure):
    """A GPU instance, if `used`. `profile` is an index into the GPU's profiles."""

    _fields_: ClassVar = [
        ("used", c_uint32),
        ("gpu", c_uint32),
        ("id", c_uint32),
        ("profile", c_uint32),
        ("place", Place),
    ]


class ComputeInstance(Structure):
    """A compute instance, if `used`: a MIG device. `instance` is an index into the GPU's instances."""

    _fields_: ClassVar = [
        ("used", c_uint32),
        ("gpu", c_uint32),
        ("instance", c_uint32),
        ("id", c_uint32),
        ("place", Place),
        ("uuid", c_char * TEXT),
    ]


class Link(Structure):
    """An NVLink. `remote` is NVML's kind: 0 a GPU, 1 an NPU, 2 a switch."""

    _fields_: ClassVar = [
        (name, c_uint32)
        for name in ("active", "version", "remote", "domain", "bus", "device", "pci_device")
    ]


class Process(Structure):
    """A program on a GPU. `kind`: 0 computes, 1 draws, 2 is a client of MPS."""

    _fields_: ClassVar = [
        (name, c_uint32) for name in ("pid", "kind", "gpu_instance", "compute_instance")
    ]


_TEXTS = ("uuid", "name", "serial", "vbios", "board_part")
_NUMBERS = (
    "index lost minor brand architecture cc_major cc_minor module_id domain bus device pci_device pci_subsystem "
    "numa addressing virtualization persistence compute_mode ecc_current ecc_pending slices memory_slices "
    "mig_current mig_pending mig_needs_reset row_remaps remapped_corr remapped_unc remap_pending remap_failed "
    "retires retired_sbe retired_dbe retire_pending temperature slowdown_at shutdown_at slowdowns recovery "
    "repair_channel repair_tpc power_limit fabric_state fabric_status fabric_clique fabric_mask fabric_summary sm "
    "n_profiles n_links n_processes"
)
_COUNTERS = (
    "memory_total memory_reserved memory_used bar1_total events_supported "
    "ecc_corr_volatile ecc_unc_volatile ecc_corr_aggregate ecc_unc_aggregate"
)


class Gpu(Structure):
    """One GPU; fields that are `NONE` are not supported by it."""

    _fields_: ClassVar = [
        *((name, c_char * TEXT) for name in _TEXTS),
        ("fabric_uuid", c_char * 16),
        *((name, c_uint64) for name in _COUNTERS.split()),
        *((name, c_uint32) for name in _NUMBERS.split()),
        ("profiles", Profile * PROFILES),
        ("instances", GpuInstance * INSTANCES),
        ("computes", ComputeInstance * COMPUTES),
        ("links", Link * LINKS),
        ("processes", Process * PROCESSES),
    ]


class Fault(Structure):
    """What happens in a call: to `gpu`, or to any if it is -1; `left` times, or always if it is -1."""

    _fields_: ClassVar = [
        ("symbol", c_char * TEXT),
        ("gpu", c_int32),
        ("kind", c_uint32),
        ("value", c_uint32),
        ("left", c_int32),
    ]


class Event(Structure):
    """Something a GPU reports."""

    _fields_: ClassVar = [
        ("type", c_uint64),
        ("data", c_uint64),
        ("gpu", c_uint32),
        ("gpu_instance", c_uint32),
        ("compute_instance", c_uint32),
    ]


class State(Structure):
    """The machine. `generation` counts reloads of the kernel module; processes of an older one are cut off."""

    _fields_: ClassVar = [
        *((name, c_char * TEXT) for name in ("driver", "kernel", "nvml", "branch", "gsp")),
        ("proc", c_char * PATH),
        ("n_events", c_uint64),
        *((name, c_uint32) for name in ("size", "generation", "cuda", "n_gpus", "calls")),
        ("gpus", Gpu * GPUS),
        ("ancestors", (c_uint32 * GPUS) * GPUS),
        ("faults", Fault * FAULTS),
        ("events", Event * EVENTS),
    ]


_WORDS = {c_char: "char", c_int32: "int", c_uint32: "unsigned", c_uint64: "unsigned long long"}
_ALL = (
    *(Place, Profile, GpuInstance, ComputeInstance, Link, Process, Gpu),
    *(Fault, Event, State),
)


def header() -> str:
    """The layout in C, with the sizes the compiler must come to."""
    limits = {"GPUS": GPUS, "EVENTS": EVENTS, "FAULTS": FAULTS, "TEXT": TEXT, "NONE": f"{NONE}u"}
    limits |= {"INSTANCES": INSTANCES, "COMPUTES": COMPUTES, "PATH": PATH}
    lines = [f"#define MOST_{name} {value}" for name, value in limits.items()]
    for structure in _ALL:
        members = [_member(field[0], field[1]) for field in structure._fields_]
        fields = "".join(f"    {member};\n" for member in members)
        lines.append(f"struct {structure.__name__} {{\n{fields}}};")
        size = ctypes.sizeof(structure)
        lines.append(f'_Static_assert(sizeof(struct {structure.__name__}) == {size}, "layout");')
    return "\n".join(lines) + "\n"


def _member(name: str, kind: Any) -> str:
    ends = ""
    while issubclass(kind, Array):
        ends += f"[{kind._length_}]"
        kind = kind._type_
    word = _WORDS.get(kind) or f"struct {kind.__name__}"
    return f"{word} {name}{ends}"
