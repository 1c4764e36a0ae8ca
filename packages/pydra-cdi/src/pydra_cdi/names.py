"""Names of CDI: vendor, class, device name, and the device ID `vendor/class=name` made of them.

Validation checks names in specs with it; drivers format device IDs and runtimes parse them.
The rules are those of the CDI specification, "Kind" and "Device name", as its reference library
applies them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydra_cdi.errors import Fault, SpecError, shown

_LETTERS_DIGITS = "A-Za-z0-9"
_VENDOR = re.compile(rf"[A-Za-z](?:[{_LETTERS_DIGITS}_.-]*[{_LETTERS_DIGITS}])?")
_DEVICE = re.compile(rf"[{_LETTERS_DIGITS}](?:[{_LETTERS_DIGITS}_.:-]*[{_LETTERS_DIGITS}])?")
_VENDOR_REMEDY = "begin with a letter, end with a letter or digit, use only letters, digits, '_', '-' and '.' between"
_DEVICE_REMEDY = (
    "begin and end with a letter or digit, use only letters, digits, '_', '-', '.' and ':' between"
)


def vendor_fault(path: str, text: str) -> Fault | None:
    """Tell what is wrong with a vendor, or nothing."""
    return None if _VENDOR.fullmatch(text) else _fault(path, "vendor", text, _VENDOR_REMEDY)


def class_fault(path: str, text: str) -> Fault | None:
    """Tell what is wrong with a device class, or nothing."""
    return None if _VENDOR.fullmatch(text) else _fault(path, "class", text, _VENDOR_REMEDY)


def device_fault(path: str, text: str) -> Fault | None:
    """Tell what is wrong with a device name, or nothing."""
    return None if _DEVICE.fullmatch(text) else _fault(path, "device name", text, _DEVICE_REMEDY)


def _fault(path: str, what: str, text: str, remedy: str) -> Fault:
    message = f"{what} {shown(text)} breaks the naming rule" if text else f"the {what} is empty"
    return Fault(path, message, remedy)


def split_kind(kind: str) -> tuple[str, str]:
    """Split `vendor/class` at the first slash, unchecked; a text that is no such pair is all class."""
    vendor, _, device_class = kind.partition("/")
    return (vendor, device_class) if vendor and device_class else ("", kind)


def split_device_id(text: str) -> tuple[str, str, str]:
    """Split `vendor/class=name`, unchecked; a text that is no device ID, like a path, is all name."""
    kind, _, name = text.partition("=")
    vendor, device_class = split_kind(kind)
    return (vendor, device_class, name) if vendor and name else ("", "", text)


def join_device_id(vendor: str, device_class: str, name: str) -> str:
    """Put a device ID together, unchecked; `QualifiedName` checks."""
    return f"{vendor}/{device_class}={name}"


def kind_faults(path: str, kind: str) -> list[Fault]:
    """Tell everything that is wrong with a kind."""
    if "/" not in kind:
        return [
            Fault(
                path, f"kind {shown(kind)} is not vendor/class", "write it like 'acme.example/card'"
            )
        ]
    vendor, _, device_class = kind.partition("/")
    return [f for f in (vendor_fault(path, vendor), class_fault(path, device_class)) if f]


@dataclass(frozen=True, slots=True, order=True)
class QualifiedName:
    """A CDI device ID. An instance is always valid; `str()` gives `vendor/class=name`.

    Raises:
        SpecError: A part breaks its naming rule; each broken part is one fault.
    """

    vendor: str
    device_class: str
    name: str

    def __post_init__(self) -> None:
        found = (
            vendor_fault("vendor", self.vendor),
            class_fault("class", self.device_class),
            device_fault("name", self.name),
        )
        if faults := [fault for fault in found if fault]:
            raise SpecError(f"CDI device ID {shown(str(self))}", faults)

    def __str__(self) -> str:
        return join_device_id(self.vendor, self.device_class, self.name)

    @property
    def kind(self) -> str:
        """The `vendor/class` part, as a spec file spells it."""
        return f"{self.vendor}/{self.device_class}"

    @classmethod
    def parse(cls, text: str) -> QualifiedName:
        """Read a device ID.

        Raises:
            SpecError: The text is not of the form `vendor/class=name`, or a part breaks its rule.
        """
        vendor, device_class, name = split_device_id(text)
        if not vendor:
            remedy = "write it as vendor/class=name, like 'acme.example/card=card0'"
            fault = Fault("", "it has no vendor, no class or no name", remedy)
            raise SpecError(f"CDI device ID {shown(text)}", [fault])
        return cls(vendor, device_class, name)
