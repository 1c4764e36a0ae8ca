"""The CDI spec as frozen values: what spec files of versions 0.3.0 to 1.1.0 can say.

Drivers build these (by hand or through `SpecBuilder`), the codec reads and writes them, validation
and injection walk them. Field names are the specification's in snake case. Zero values are left
out when encoding, `None` means "not given" where the specification tells that from zero.

Sequences may be given as any sequence and are kept as tuples; mappings are kept read-only, sorted
by key, so that equal specs encode to equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, TypeVar

import msgspec
from msgspec.structs import force_setattr

from pydra_cdi.names import QualifiedName, split_kind

T = TypeVar("T")

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
UInt32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})


class _Value(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"
):
    """Frozen, strict and sparse: what all parts of a spec share."""

    def _freeze(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if type(value) is not tuple and value is not None:
                force_setattr(self, name, _as_tuple(name, value))


def _as_tuple(name: str, value: Sequence[T]) -> tuple[T, ...]:
    if isinstance(value, (str, bytes, Mapping)):
        raise TypeError(f"{name} takes a sequence of values, not {value!r}: put it in a list")
    return tuple(value)


def _read_only(value: Mapping[str, str]) -> Mapping[str, str]:
    if value is NO_ANNOTATIONS or not value:
        return NO_ANNOTATIONS
    return MappingProxyType(dict(sorted(value.items())))


class DeviceNode(_Value, frozen=True):
    """A device node to create in the container.

    Attributes:
        path: Path in the container.
        host_path: Path on the host when it differs (needs 0.5.0).
        type: `b`, `c`, `u` or `p`; empty = as on the host.
        major: Device number; 0 = both numbers as on the host.
        minor: Device number, used when `major` or `type` "p" is given.
        file_mode: Permission bits, `0o660` for rw-rw----; None = as on the host.
        permissions: Cgroup access, a subset of "rwm", or "none"; empty = "rwm".
        uid: Owner; None = user of the container's process.
        gid: Group; None = group of the container's process.
    """

    path: str
    host_path: str = ""
    type: str = ""
    major: Int64 = 0
    minor: Int64 = 0
    file_mode: UInt32 | None = None
    permissions: str = ""
    uid: UInt32 | None = None
    gid: UInt32 | None = None

    @property
    def is_fully_given(self) -> bool:
        """Tell whether the node can be made without looking at the host: a fifo, or a type with a major number."""
        return self.type == "p" or (self.type != "" and self.major != 0)


class Mount(_Value, frozen=True):
    """A mount into the container; without `bind` or `rbind` among `options` it needs a `type` (0.4.0)."""

    host_path: str
    container_path: str
    options: Sequence[str] = ()
    type: str = ""

    def __post_init__(self) -> None:
        self._freeze("options")


class Hook(_Value, frozen=True):
    """A program the runtime runs at a stage of the container's life; `args[0]` is its own name.

    `timeout` is in seconds. Runtimes run a hook once for each mention of its device: make it idempotent.
    """

    hook_name: str
    path: str
    args: Sequence[str] = ()
    env: Sequence[str] = ()
    timeout: Int64 | None = None

    def __post_init__(self) -> None:
        self._freeze("args", "env")


class NetDevice(_Value, frozen=True):
    """A host network interface moved into the container under `name` (needs 1.1.0)."""

    host_interface_name: str
    name: str


class IntelRdt(_Value, frozen=True):
    """Intel resource director settings (needs 0.7.0; `schemata` and `enable_monitoring` need 1.1.0).

    An empty `schemata` is kept apart from None: already its presence needs 1.1.0.
    """

    clos_id: str = msgspec.field(default="", name="closID")
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    schemata: Sequence[str] | None = None
    enable_monitoring: bool = False

    def __post_init__(self) -> None:
        self._freeze("schemata")


class ContainerEdits(_Value, frozen=True):
    """What a device changes in a container. False when it changes nothing.

    `edits + more` appends `more`; its `intel_rdt`, where given, replaces the earlier one as a whole.
    """

    env: Sequence[str] = ()
    device_nodes: Sequence[DeviceNode] = ()
    net_devices: Sequence[NetDevice] = ()
    hooks: Sequence[Hook] = ()
    mounts: Sequence[Mount] = ()
    intel_rdt: IntelRdt | None = None
    additional_gids: Sequence[UInt32] = ()

    def __post_init__(self) -> None:
        self._freeze("env", "device_nodes", "net_devices", "hooks", "mounts", "additional_gids")

    def __bool__(self) -> bool:
        lists = self.env or self.device_nodes or self.net_devices or self.hooks or self.mounts
        return bool(lists or self.additional_gids) or self.intel_rdt is not None

    def __add__(self, more: ContainerEdits) -> ContainerEdits:
        return ContainerEdits(
            env=(*self.env, *more.env),
            device_nodes=(*self.device_nodes, *more.device_nodes),
            net_devices=(*self.net_devices, *more.net_devices),
            hooks=(*self.hooks, *more.hooks),
            mounts=(*self.mounts, *more.mounts),
            intel_rdt=self.intel_rdt if more.intel_rdt is None else more.intel_rdt,
            additional_gids=(*self.additional_gids, *more.additional_gids),
        )


NO_EDITS = ContainerEdits()


class Device(_Value, frozen=True):
    """A named device of a spec. Annotations need 0.6.0, a name that begins with a digit 0.5.0."""

    name: str
    container_edits: ContainerEdits
    annotations: Mapping[str, str] = NO_ANNOTATIONS

    def __post_init__(self) -> None:
        force_setattr(self, "annotations", _read_only(self.annotations))


class Spec(_Value, frozen=True):
    """A whole spec file: devices of one kind, and edits that come along with any of them."""

    cdi_version: str
    kind: str
    devices: Sequence[Device]
    container_edits: ContainerEdits = NO_EDITS
    annotations: Mapping[str, str] = NO_ANNOTATIONS

    def __post_init__(self) -> None:
        self._freeze("devices")
        force_setattr(self, "annotations", _read_only(self.annotations))
        if not self.container_edits:
            force_setattr(self, "container_edits", NO_EDITS)

    @property
    def vendor(self) -> str:
        """The part of the kind before the first slash."""
        return split_kind(self.kind)[0]

    @property
    def device_class(self) -> str:
        """The part of the kind after the first slash."""
        return split_kind(self.kind)[1]

    def device_id(self, device: Device) -> QualifiedName:
        """Name one of the devices as runtimes ask for it: `vendor/class=name`."""
        return QualifiedName(self.vendor, self.device_class, device.name)


def _plain(value: object) -> dict[str, str]:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"a Python {type(value).__name__} has no place in a spec")


ENCODER = msgspec.json.Encoder(enc_hook=_plain)
