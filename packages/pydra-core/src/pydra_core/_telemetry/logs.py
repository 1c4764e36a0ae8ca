"""Structured logs: a constant message plus fields, and one operation ID on every line of an operation.

Policy: `error` needs a person, `warning` is handled but unexpected, `info` is one line per thing that
happened to a claim, a registration or the slices, `debug` is for whoever writes the driver. Request and
response bodies appear at debug only.
"""

from __future__ import annotations

import contextvars
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

_operation: contextvars.ContextVar[str] = contextvars.ContextVar("operation", default="")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


@contextmanager
def operation() -> Iterator[str]:
    """Give everything logged inside the block one ID of eight hex digits."""
    token = _operation.set(token_hex(4))
    try:
        yield _operation.get()
    finally:
        _operation.reset(token)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
    if op := _operation.get():
        fields["op"] = op
    return fields


def _stamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value …`, for people."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {k}={_quote(v)}" for k, v in _fields(record).items())
        line = f"{_stamp(record)} {record.levelname:<7} {record.name}: {record.getMessage()}{pairs}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        } | _fields(record)
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _quote(value: object) -> str:
    text = str(value)
    return (
        json.dumps(text)
        if not text.isprintable() or not text or any(c in text for c in ' "=')
        else text
    )


def configure(level: str, style: str) -> None:
    """Send all logs to standard error in the given style (`text` or `json`)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("aiohttp.access").setLevel("WARNING")
