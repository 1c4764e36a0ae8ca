"""What GPUs report by themselves, as long as each of them can be watched.

NVML waits for all GPUs at once, and says of a lost one only that there is one. So who it is is found out by asking
each, told once, and the others are watched on; the lost one is tried again every now and then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from pydra_nvidia._nvml.asking import Asking, asked
from pydra_nvidia._nvml.event_set import EventSet
from pydra_nvidia._nvml.identity import uuid
from pydra_nvidia._nvml.session import of_system
from pydra_nvidia._nvml.words import EVENTS

_WHOLE = 0xFFFFFFFF
_LONGEST_WAIT = 2000
_WANTED = sum(EVENTS)


class Watching:
    """The GPUs that are watched, and those that are not."""

    def __init__(self, retry: float, left_out: Mapping[str, str] | None = None) -> None:
        self._retry = retry
        self._left_out = left_out or {}
        self._wait = min(_LONGEST_WAIT, max(1, int(retry * 1000)))
        self._set = EventSet()
        self._watched: dict[int, Asking] = {}
        self._names: dict[int, str | None] = {}
        self._next = 0.0

    def run(self) -> Iterator[dict[str, Any]]:
        """Events for ever; the state of the watching first."""
        for index in range(of_system("nvmlDeviceGetCount")):
            yield self._begin(index)
        self._next = time.monotonic() + self._retry
        while True:
            event = self._set.wait(self._wait)
            if event is EventSet.LOST:
                yield from self._lost()
            elif event is not None:
                yield from self._told(event)
            if time.monotonic() >= self._next:
                yield from self._again()

    def _begin(self, index: int) -> dict[str, Any]:
        gpu = asked(index, self._left_out)
        self._names[index] = uuid(index, gpu) or self._names.get(index)
        types = gpu("nvmlDeviceGetSupportedEventTypes") or 0
        wanted = types & _WANTED
        if wanted and gpu.do("nvmlDeviceRegisterEvents", wanted, self._set.handle):
            self._watched[index] = gpu
            return self._event("watched", index)
        kind = "lost" if gpu.lost else "unwatched"
        return self._event(kind, index, "; ".join(gpu.faults) or "it reports no events")

    def _lost(self) -> Iterator[dict[str, Any]]:
        """Find out who is lost, and watch the others with a new set: the old one tells of nothing else any more."""
        gone = {index: gpu for index, gpu in self._watched.items() if not _answers(gpu)}
        for index in gone:
            del self._watched[index]
        if not gone:  # somebody NVML knows of and does not name: no busy loop over it
            time.sleep(1)
        refused = self._anew()  # before anything is told, which may take a while
        for index, gpu in gone.items():
            yield self._event("lost", index, "; ".join(gpu.faults[-1:]))
        yield from refused

    def _anew(self) -> list[dict[str, Any]]:
        """Watch with a new set; who cannot be watched with it."""
        old, self._set = self._set, EventSet()
        watched, self._watched = list(self._watched), {}
        begun = [self._begin(index) for index in watched]
        old.close()
        return [event for event in begun if event["kind"] != "watched"]

    def _again(self) -> Iterator[dict[str, Any]]:
        """Whoever is not watched may have been reset meanwhile."""
        self._next = time.monotonic() + self._retry
        for index in [i for i in self._names if i not in self._watched]:
            gpu = asked(index, self._left_out)
            if _answers(gpu) and gpu("nvmlDeviceGetSupportedEventTypes"):
                yield self._begin(index)

    def _told(self, event: Any) -> Iterator[dict[str, Any]]:
        index = self._index(event.device)
        kind = EVENTS.get(event.eventType)
        if index is None or kind is None:
            return
        parts = (event.gpuInstanceId, event.computeInstanceId)
        gpu_instance, compute_instance = (None if part == _WHOLE else part for part in parts)
        told = self._event(kind, index)
        told |= {"data": event.eventData, "gpu_instance": gpu_instance}
        yield told | {"compute_instance": compute_instance}

    def _index(self, handle: Any) -> int | None:
        wanted = EventSet.address(handle)
        same = (i for i, gpu in self._watched.items() if EventSet.address(gpu.handle) == wanted)
        return next(same, None)

    def _event(self, kind: str, index: int, message: str = "") -> dict[str, Any]:
        return {"kind": kind, "index": index, "uuid": self._names.get(index), "message": message}


def _answers(gpu: Asking) -> bool:
    gpu("nvmlDeviceGetPersistenceMode")
    gpu("nvmlDeviceGetTemperature", 0)
    return not gpu.silent
