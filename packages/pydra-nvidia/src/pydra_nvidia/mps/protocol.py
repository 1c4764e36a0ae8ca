"""One line of JSON each way over the keeper's socket: what may be asked, and how a no comes back as the right error.

The driver and the keeper are upgraded at different times, so every line carries the version of these words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from pydra_core import errors
from pydra_core.errors import HostError, PydraError
from pydra_nvidia.mps.values import MpsGpu, Tenant

VERSION = 1
SOCKET = "keeper.sock"
MOST_BYTES = 1 << 20
"""Of one line; a roster of every share of a GPU is a fraction of it."""
_T = TypeVar("_T")


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not known is refused: an older keeper would do half of what it is asked."""


class AskCapabilities(_Line, frozen=True, tag_field="do", tag="capabilities"):
    """What limits can be had on a GPU?"""

    gpu: MpsGpu
    version: int = VERSION


class AskAttach(_Line, frozen=True, tag_field="do", tag="attach"):
    """Let a tenant on a GPU."""

    gpu: MpsGpu
    tenant: Tenant
    version: int = VERSION


class AskDetach(_Line, frozen=True, tag_field="do", tag="detach"):
    """A claim leaves a GPU, with all its shares."""

    gpu: str
    claim: str
    version: int = VERSION


class AskDaemons(_Line, frozen=True, tag_field="do", tag="daemons"):
    """How are all daemons?"""

    version: int = VERSION


class AskNews(_Line, frozen=True, tag_field="do", tag="news"):
    """Did a daemon die since this number was told? Answered when one does."""

    seen: int
    version: int = VERSION


Ask = AskCapabilities | AskAttach | AskDetach | AskDaemons | AskNews


class Refusal(_Line, frozen=True):
    """An error of core's: its reason and text."""

    reason: str
    text: str


class _Envelope(_Line, frozen=True):
    """An answer, or the reason there is none."""

    version: int = VERSION
    answer: msgspec.Raw = msgspec.Raw(b"null")
    refusal: Refusal | None = None


class _Version(msgspec.Struct, frozen=True):
    """All that is read of a line of another version."""

    version: int


def ask_line(ask: Ask) -> bytes:
    """What a client writes."""
    return msgspec.json.encode(ask) + b"\n"


def read_ask(line: bytes) -> Ask:
    """What a client wrote.

    Raises:
        HostError: it is no line of this version.
    """
    _check_version(line, "the driver that asks")
    try:
        ask: Ask = msgspec.json.decode(line, type=Ask)
    except msgspec.MsgspecError as err:
        raise HostError(f"MPS keeper: a request it does not understand: {err}") from err
    return ask


def answer_line(answer: object) -> bytes:
    """What the keeper writes when it did as it was asked."""
    return msgspec.json.encode(_Envelope(answer=msgspec.Raw(msgspec.json.encode(answer)))) + b"\n"


def refusal_line(error: PydraError) -> bytes:
    """What the keeper writes when it could not."""
    return msgspec.json.encode(_Envelope(refusal=Refusal(error.reason, str(error)))) + b"\n"


def read_answer(line: bytes, kind: type[_T]) -> _T:
    """What the keeper answered.

    Raises:
        PydraError: what the keeper raised, of the same class.
        HostError: it is no answer of this version.
    """
    _check_version(line, "the keeper that answers")
    try:
        envelope = msgspec.json.decode(line, type=_Envelope)
        if envelope.refusal is None:
            return msgspec.json.decode(envelope.answer, type=kind)
    except msgspec.MsgspecError as err:
        raise HostError(f"MPS keeper: an answer nobody understands: {err}") from err
    raise _CLASSES.get(envelope.refusal.reason, HostError)(envelope.refusal.text)


def _check_version(line: bytes, who: str) -> None:
    try:
        version = msgspec.json.decode(line, type=_Version).version
    except msgspec.MsgspecError as err:
        raise HostError(f"MPS keeper: {who} wrote what is no line of its protocol: {err}") from err
    if version != VERSION:
        raise HostError(
            f"MPS keeper: {who} speaks version {version}, and this side version {VERSION}; bring driver and keeper to"
            " the same release: the keeper's pod is replaced when it is deleted, which ends programs under MPS"
        )


def _with_reason(classes: Iterable[object]) -> dict[str, type[PydraError]]:
    found = (c for c in classes if isinstance(c, type) and issubclass(c, PydraError))
    return {c.reason: c for c in found}


_CLASSES = _with_reason(vars(errors).values())
