"""Limits in the second protocol: defaults for the next server, and those of one server for its next clients."""

from __future__ import annotations

import re
from collections.abc import Callable

from pydra_nvidia_fake.mps.limits import shown_size, typed_size
from pydra_nvidia_fake.mps.v2.call import Call

_DEVICE = re.compile(r"\d+|(GPU|MIG)-[0-9a-fA-F-]+")
_CHECKED = 580


def _default_percentage(call: Call) -> str:
    return f"{call.service.defaults.percent:.1f}"


def _set_default_percentage(call: Call) -> str:
    return call.not_the_owner() or call.percentage(call.service.defaults, 0)


def _percentage(call: Call) -> str:
    server = call.server()
    return server if isinstance(server, str) else f"{server.limits.percent:.1f}"


def _set_percentage(call: Call) -> str:
    server = call.own_server()
    return server if isinstance(server, str) else call.percentage(server.limits, 1)


def _default_memory(call: Call) -> str:
    return shown_size(call.service.defaults.memory.get(call.word(0), 0))


def _set_default_memory(call: Call) -> str:
    refused = call.not_the_owner() or _bad_device(call)
    if refused or not call.words:
        return refused
    size = int(call.clamped("memory", typed_size(call.word(1))))
    call.service.defaults.remember(call.word(0), size)
    return ""


def _memory(call: Call) -> str:
    found = call.device(call.server())
    if isinstance(found, str):
        return found
    server, gpu = found
    return shown_size(server.limits.memory.get(gpu.uuid, 0))


def _set_memory(call: Call) -> str:
    found = call.device(call.own_server())
    if isinstance(found, str):
        return found
    server, gpu = found
    server.limits.remember(gpu.uuid, int(call.clamped("memory", typed_size(call.word(2)))))
    return ""


def _default_priority(call: Call) -> str:
    return str(call.service.defaults.priority)


def _set_default_priority(call: Call) -> str:
    if call.word(0) not in ("0", "1"):
        return "Invalid priority value - must be 0 or 1!"
    call.service.defaults.priority = call.number(0)
    return ""


def _bad_device(call: Call) -> str:
    if call.service.features.branch < _CHECKED or _DEVICE.fullmatch(call.word(0)):
        return ""
    return f"Invalid device identifier format: {call.word(0)}"


COMMANDS: dict[str, Callable[[Call], str]] = {
    "get_default_active_thread_percentage": _default_percentage,
    "set_default_active_thread_percentage": _set_default_percentage,
    "get_active_thread_percentage": _percentage,
    "set_active_thread_percentage": _set_percentage,
    "get_default_device_pinned_mem_limit": _default_memory,
    "set_default_device_pinned_mem_limit": _set_default_memory,
    "get_device_pinned_mem_limit": _memory,
    "set_device_pinned_mem_limit": _set_memory,
    "get_default_client_priority": _default_priority,
    "set_default_client_priority": _set_default_priority,
}
