"""Specs written as one fluent expression; driver code is its caller.

Builders are immutable: every method returns a new one, so a half-finished builder can be kept and
finished in several ways without one leaking into another.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypedDict, Unpack

import msgspec

from pydra_cdi._shape import type_faults
from pydra_cdi.errors import SpecError
from pydra_cdi.model import (
    NO_ANNOTATIONS,
    NO_EDITS,
    ContainerEdits,
    Device,
    DeviceNode,
    Hook,
    IntelRdt,
    Mount,
    NetDevice,
    Spec,
)
from pydra_cdi.ownership import OWNER_ANNOTATION
from pydra_cdi.validation import find_faults
from pydra_cdi.versions import FLOOR, minimum_version

READ_ONLY_BIND = ("ro", "nosuid", "nodev", "rbind")


class NodeFields(TypedDict, total=False):
    """What `device_node` takes besides the path; see `DeviceNode`."""

    host_path: str
    type: str
    major: int
    minor: int
    file_mode: int | None
    permissions: str
    uid: int | None
    gid: int | None


class MountFields(TypedDict, total=False):
    """What `mount` takes besides the two paths; see `Mount`."""

    options: Sequence[str]
    type: str


class HookFields(TypedDict, total=False):
    """What `hook` takes besides stage and path; see `Hook`."""

    args: Sequence[str]
    env: Sequence[str]
    timeout: int | None


class RdtFields(TypedDict, total=False):
    """What `intel_rdt` takes; see `IntelRdt`."""

    clos_id: str
    l3_cache_schema: str
    mem_bw_schema: str
    schemata: Sequence[str] | None
    enable_monitoring: bool


class _EditsBuilder(ABC):
    """The methods that add container edits: to the spec as a whole, or to one device."""

    @abstractmethod
    def edits(self, more: ContainerEdits) -> Self:
        """Append ready-made edits."""

    def env(self, *entries: str, **variables: str) -> Self:
        """Set environment variables: `env(CARD="0")`, or entries as in the file: `env("CARD=0")`."""
        named = (f"{name}={value}" for name, value in variables.items())
        return self.edits(ContainerEdits(env=(*entries, *named)))

    def device_node(self, path: str, **fields: Unpack[NodeFields]) -> Self:
        """Create a device node at `path`; give type, major and minor where known, so a late udev hurts nobody."""
        return self.edits(ContainerEdits(device_nodes=[DeviceNode(path, **fields)]))

    def mount(self, host_path: str, container_path: str, **fields: Unpack[MountFields]) -> Self:
        """Mount a host path; a read-only bind mount unless `options` say otherwise (a `type` needs 0.4.0)."""
        given: MountFields = {"options": READ_ONLY_BIND, **fields}
        return self.edits(ContainerEdits(mounts=[Mount(host_path, container_path, **given)]))

    def hook(self, hook_name: str, path: str, **fields: Unpack[HookFields]) -> Self:
        """Run a program at a stage of the container's life, like `createContainer`."""
        return self.edits(ContainerEdits(hooks=[Hook(hook_name, path, **fields)]))

    def net_device(self, host_interface_name: str, name: str) -> Self:
        """Move a host network interface into the container as `name` (needs 1.1.0)."""
        return self.edits(ContainerEdits(net_devices=[NetDevice(host_interface_name, name)]))

    def intel_rdt(self, **fields: Unpack[RdtFields]) -> Self:
        """Set Intel RDT; replaces what an earlier call set (needs 0.7.0)."""
        return self.edits(ContainerEdits(intel_rdt=IntelRdt(**fields)))

    def additional_gids(self, *gids: int) -> Self:
        """Add supplementary groups to the container's process (needs 0.7.0); runtimes skip 0."""
        return self.edits(ContainerEdits(additional_gids=gids))


@dataclass(frozen=True, slots=True)
class SpecBuilder(_EditsBuilder):
    """Builds a spec of one kind. Edits added here come along with every device of the spec.

    Attributes:
        kind: `vendor/class`, the vendor a domain the driver owns: `card.acme.example/card`.
    """

    kind: str
    container_edits: ContainerEdits = NO_EDITS
    annotations: Mapping[str, str] = field(default_factory=lambda: NO_ANNOTATIONS)
    devices: tuple[Device, ...] = ()

    def edits(self, more: ContainerEdits) -> Self:
        """Append ready-made edits for the spec as a whole."""
        return dataclasses.replace(self, container_edits=self.container_edits + more)

    def annotate(self, key: str, value: str) -> Self:
        """Annotate the spec (needs 0.6.0)."""
        return dataclasses.replace(self, annotations={**self.annotations, key: value})

    def owner(self, owner: str) -> Self:
        """Say whose spec this is, so that `SpecDirectory.collect` finds it again (needs 0.6.0)."""
        return self.annotate(OWNER_ANNOTATION, owner)

    def device(self, name: str) -> DeviceBuilder:
        """Begin a device; its `done()` comes back here with the device added."""
        return DeviceBuilder(self, name)

    def add(self, *devices: Device) -> Self:
        """Add finished devices."""
        return dataclasses.replace(self, devices=(*self.devices, *devices))

    def build(self, version: str | None = None) -> Spec:
        """Make the spec and validate it, by the rules for what we write ourselves.

        Args:
            version: Version to declare; by default the lowest that will do, which most runtimes accept.

        Raises:
            SpecError: It breaks rules, or `version` is unknown or too low; the fault names the feature that
                needs more.
        """
        spec = Spec(
            version or FLOOR, self.kind, self.devices, self.container_edits, self.annotations
        )
        if version is None and not type_faults(
            spec
        ):  # only well-typed values can be asked what they need
            spec = msgspec.structs.replace(spec, cdi_version=minimum_version(spec))
        if faults := find_faults(spec, strict=True):
            raise SpecError(f"CDI spec {self.kind}", faults)
        return spec


@dataclass(frozen=True, slots=True)
class DeviceBuilder(_EditsBuilder):
    """Builds one device of a spec; `SpecBuilder.device` begins it, `done` ends it."""

    parent: SpecBuilder
    name: str
    container_edits: ContainerEdits = NO_EDITS
    annotations: Mapping[str, str] = field(default_factory=lambda: NO_ANNOTATIONS)

    def edits(self, more: ContainerEdits) -> Self:
        """Append ready-made edits for this device."""
        return dataclasses.replace(self, container_edits=self.container_edits + more)

    def annotate(self, key: str, value: str) -> Self:
        """Annotate the device (needs 0.6.0)."""
        return dataclasses.replace(self, annotations={**self.annotations, key: value})

    def done(self) -> SpecBuilder:
        """Add the device to the spec and go on with the spec."""
        return self.parent.add(Device(self.name, self.container_edits, self.annotations))
