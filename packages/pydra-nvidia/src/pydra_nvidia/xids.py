"""What an XID, the kernel driver's number for an error, says of the GPU: NVIDIA's XID catalogue in four classes.

One that is in no class counts as `RESET`: NVML reports only those it holds for critical. Called by `judging`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class XidClass(StrEnum):
    """Whose trouble it is."""

    APPLICATION = "application"
    """The program's own: it is ended, and the GPU is as good as before."""
    NOTICE = "notice"
    """Something was recorded or corrected; what follows from it, other readings tell."""
    RESET = "reset"
    """The GPU needs a reset before it can be trusted again."""
    BROKEN = "broken"
    """It needs more than a reset: the machine started anew, or the hardware looked at."""


_CLASSES: dict[XidClass, dict[int, str]] = {
    XidClass.APPLICATION: {
        8: "a program's work took longer than the watchdog allows",
        13: "a program raised a graphics engine exception",
        31: "a program accessed memory that is not its own",
        32: "a program sent a corrupt command buffer",
        43: "a program was stopped after an error of its own",
        44: "a program's context was switched away after an error",
        45: "a program was ended, and its channels were cleaned up",
        68: "a program raised a video engine exception",
        69: "a program raised a graphics engine class error",
        109: "a program's context could not be switched in time",
        137: "a program broke the rules of NVLink memory access",
    },
    XidClass.NOTICE: {
        63: "a page was retired, or a row remapped",
        92: "many single-bit errors were corrected",
        121: "an error on the link to the processor was corrected",
        154: "the recommended recovery action changed",
        156: "a resource was retired",
    },
    XidClass.RESET: {
        46: "the GPU stopped processing",
        48: "a double-bit memory error",
        61: "the GPU's microcontroller halted with a breakpoint",
        62: "the GPU's microcontroller halted",
        64: "a page could not be retired, or a row not remapped",
        74: "an NVLink error",
        94: "a memory error that was contained",
        95: "a memory error that was not contained",
        119: "the GPU's system processor does not answer",
        120: "the GPU's system processor reported an error",
        136: "a link of the GPU could not be trained",
        140: "memory errors that were not recovered from",
        143: "the GPU could not be initialized",
        **dict.fromkeys(range(144, 151), "an NVLink error"),
        157: "a resource could not be retired",
        158: "the GPU did not finish in time",
    },
    XidClass.BROKEN: {
        79: "the GPU has fallen off the bus",
        110: "a security fault",
        151: "the key rotation of the GPU failed",
    },
}
_KNOWN = {
    number: (kind, text) for kind, texts in _CLASSES.items() for number, text in texts.items()
}
_UNKNOWN = "an error this driver has no words for"


class Xids:
    """The classes, as an operator may have changed them."""

    def __init__(self, harmless: Iterable[int] = ()) -> None:
        """Begin.

        Args:
            harmless: XIDs that shall be a program's trouble, whatever the catalogue says.
        """
        self._harmless = frozenset(harmless)

    def kind(self, number: int) -> XidClass:
        """The class of an XID."""
        if number in self._harmless:
            return XidClass.APPLICATION
        return _KNOWN.get(number, (XidClass.RESET, ""))[0]


def meaning(number: int) -> str:
    """What happened, for people."""
    return _KNOWN.get(number, (XidClass.RESET, _UNKNOWN))[1]
