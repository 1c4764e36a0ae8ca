"""As much HTTP/2 (RFC 9113, RFC 7541) as it takes to read what a gRPC server writes on a raw socket.

Written for replays of recorded client bytes: it checks the server's frames as a strict client would, and never
makes any. Huffman-coded strings are refused: gRPC servers in C do not send them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# RFC 7541 appendix A: `name` or `name=value`, in order.
_STATIC = (
    ":authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200"
    " :status=204 :status=206 :status=304 :status=400 :status=404 :status=500 accept-charset"
    " accept-encoding=gzip,\xa0deflate accept-language accept-ranges accept access-control-allow-origin age allow"
    " authorization cache-control content-disposition content-encoding content-language content-length"
    " content-location content-range content-type cookie date etag expect expires from host if-match"
    " if-modified-since if-none-match if-range if-unmodified-since last-modified link location max-forwards"
    " proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie"
    " strict-transport-security transfer-encoding user-agent vary via www-authenticate"
)
STATIC = [tuple(e.replace("\xa0", " ").partition("=")[::2]) for e in _STATIC.split(" ")]


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


def frames(data: bytes) -> Iterator[Frame]:
    """Split a whole byte string (without a client's preface) into frames; a torn last one is an error."""
    while data:
        length = int.from_bytes(data[:3], "big")
        frame, data = data[: 9 + length], data[9 + length :]
        if len(frame) < 9 + length:
            raise ValueError(f"a frame of {length} bytes ends after {len(frame) - 9}")
        yield Frame(frame[3], frame[4], int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF, frame[9:])


def whole(data: bytes) -> int:
    """How many bytes of `data` are whole frames."""
    end = 0
    while len(data) >= end + 9 and len(data) >= (
        after := end + 9 + int.from_bytes(data[end : end + 3], "big")
    ):
        end = after
    return end


class Hpack:
    """One direction's header compression state."""

    def __init__(self) -> None:
        self._dynamic: list[tuple[str, str]] = []

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        headers, at = [], 0
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                headers.append(self._entry(index))
            elif first & 0xE0 == 0x20:  # the size of a table this small never matters
                _, at = _integer(block, at, 5)
            else:
                indexed = first & 0x40
                index, at = _integer(block, at, 6 if indexed else 4)
                name, at = (self._entry(index)[0], at) if index else _string(block, at)
                value, at = _string(block, at)
                headers.append((name, value))
                if indexed:
                    self._dynamic.insert(0, (name, value))
        return headers

    def _entry(self, index: int) -> tuple[str, str]:
        table = [*STATIC, *self._dynamic]
        return table[index - 1]


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    mask = (1 << bits) - 1
    value, at = block[at] & mask, at + 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        byte, at = block[at], at + 1
        value += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _string(block: bytes, at: int) -> tuple[str, int]:
    if block[at] & 0x80:
        raise ValueError("a Huffman-coded string, which this reader does not decode")
    length, at = _integer(block, at, 7)
    return block[at : at + length].decode("ascii"), at + length


@dataclass
class Stream:
    """What the server has said on one stream so far."""

    headers: list[dict[str, str]] = field(default_factory=list)
    data: bytes = b""
    ended: bool = False

    @property
    def messages(self) -> list[bytes]:
        """The gRPC messages: five bytes of prefix, not compressed."""
        found, rest = [], self.data
        while rest:
            assert rest[0] == 0, "compressed, though the kubelet does not ask for it"
            length = int.from_bytes(rest[1:5], "big")
            assert len(rest) >= 5 + length, "a message is cut off"
            found.append(rest[5 : 5 + length])
            rest = rest[5 + length :]
        return found

    @property
    def trailers(self) -> dict[str, str]:
        return self.headers[-1] if self.ended else {}


class Conversation:
    """The server's side of one connection, frame by frame."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.acknowledged: list[bytes] = []
        self.settings: list[int] = []
        self.refusals: list[Frame] = []
        self._hpack = Hpack()

    def stream(self, number: int) -> Stream:
        return self.streams.setdefault(number, Stream())

    def take(self, frame: Frame) -> None:
        """Note one frame of the server.

        Raises:
            ValueError: a frame this reader does not know how to read.
        """
        if frame.kind == HEADERS:
            self._headers(frame)
        elif frame.kind == DATA:
            self.stream(frame.stream).data += frame.payload
        elif frame.kind == SETTINGS:
            self.settings.append(frame.flags & ACK)
        elif frame.kind == PING and frame.flags & ACK:
            self.acknowledged.append(frame.payload)
        elif frame.kind in (GOAWAY, RST_STREAM):
            self.refusals.append(frame)
        elif frame.kind not in (PING, WINDOW_UPDATE):
            raise ValueError(f"frame type {frame.kind} of {len(frame.payload)} bytes")
        if frame.kind in (HEADERS, DATA) and frame.flags & END_STREAM:
            self.stream(frame.stream).ended = True

    def _headers(self, frame: Frame) -> None:
        if not frame.flags & END_HEADERS or frame.flags & (PADDED | PRIORITY):
            raise ValueError(
                "continued, padded or prioritised headers, which gRPC servers do not send"
            )
        self.stream(frame.stream).headers.append(dict(self._hpack.decode(frame.payload)))
