"""How long ago something was, in the few letters that Kubernetes spends on it (apimachinery `duration`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400
UNKNOWN = "<unknown>"


def age(moment: Any, now: datetime) -> str:
    """From an RFC 3339 time until now; unknown without one."""
    if not isinstance(moment, str) or not moment:
        return UNKNOWN
    return lasted((now - datetime.fromisoformat(moment)).total_seconds())


def lasted(span: float) -> str:
    """A number of seconds: two units while the larger one is small, one after that."""
    seconds = int(span)
    if seconds < 0:
        return "<invalid>" if span < -1 else "0s"
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    for unit, below, name, lower, both_until, until in (
        (_MINUTE, 1, "m", "s", 10, 180),
        (_HOUR, _MINUTE, "h", "m", 8, 48),
        (_DAY, _HOUR, "d", "h", 8, 730),
    ):
        count = seconds // unit
        rest = seconds % unit // below
        if count < both_until and rest:
            return f"{count}{name}{rest}{lower}"
        if count < until:
            return f"{count}{name}"
    years, days = seconds // _YEAR, seconds % _YEAR // _DAY
    return f"{years}y{days}d" if years < 8 and days else f"{years}y"  # noqa: PLR2004 -- upstream's limit
