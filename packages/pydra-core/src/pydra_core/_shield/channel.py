"""Frames to and from one worker over two pipes, watched by the event loop itself.

Pipes, since a round trip over a socket pair takes 4 µs more; reads of 64 KiB, since Python allocates what it is asked
to read, and a megabyte each time costs 12 µs in page faults; no thread that reads and wakes the loop, which costs
up to 30 µs more (`tests/bench/shield.py`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from pydra_core._shield.wire import HEADER, LONGEST

CHUNK = 1 << 16
_CLOSED = -1


class Channel:
    """This side's ends. `on_frame` gets each answer; `on_broken` hears what the worker did to the channel.

    `on_closed` is told that the worker has closed it, or is dying.
    """

    def __init__(self, requests: int, answers: int, on_broken: Callable[[str], None]) -> None:
        """Own two non-blocking descriptors: the writing end of one pipe, the reading end of the other."""
        self.on_frame: Callable[[bytes], None] = lambda _: None
        self.on_closed: Callable[[], None] = lambda: None
        self._on_broken = on_broken
        self._requests = requests
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._unsent = b""

    def send(self, frame: bytes) -> None:
        """Write a frame, now as far as the pipe takes it and the rest when it has room."""
        try:
            sent = os.write(self._requests, frame)
        except BlockingIOError:
            sent = 0
        except OSError:  # the worker has just died, or shall: its end tells
            return
        if sent < len(frame):
            self._unsent = frame[sent:]
            self._loop.add_writer(self._requests, self._send_rest)

    def pause(self) -> None:
        """Read no more answers for now: the worker waits when the pipe is full."""
        if self._answers != _CLOSED:
            self._loop.remove_reader(self._answers)

    def resume(self) -> None:
        """Read answers again."""
        if self._answers != _CLOSED:
            self._loop.add_reader(self._answers, self.receive)

    def receive(self) -> bool:
        """Read once; returns whether there may be more."""
        try:
            data = os.read(self._answers, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # it is closed on this side
            return False
        if data:
            self._take(data)
        else:
            self.on_closed()
        return bool(data)

    def close(self) -> None:
        """Give the descriptors back: the worker reads the end of its requests, and writes to nobody."""
        if self._requests == _CLOSED:
            return
        self._loop.remove_writer(self._requests)
        self._loop.remove_reader(self._answers)
        os.close(self._requests)
        os.close(self._answers)
        self._requests = self._answers = _CLOSED

    def _send_rest(self) -> None:
        self._loop.remove_writer(self._requests)
        self.send(self._unsent)

    def _take(self, data: bytes) -> None:
        """Hand on complete frames and keep the rest; nearly always it is exactly one."""
        received = self._received
        if not received and len(data) == HEADER + int.from_bytes(data[:HEADER], "big"):
            self.on_frame(data[HEADER:])
            return
        received += data
        while len(received) >= HEADER:
            end = HEADER + int.from_bytes(received[:HEADER], "big")
            if end > HEADER + LONGEST:
                received.clear()
                self._on_broken("sent rubbish")
            if len(received) < end:
                return
            body = bytes(received[HEADER:end])
            del received[:end]
            self.on_frame(body)
