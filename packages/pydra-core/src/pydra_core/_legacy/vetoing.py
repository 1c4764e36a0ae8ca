"""Keeps what only an init container has from being released: the kubelet lists it nowhere, but has it in its own file.

`releasing` asks for what was given and was never listed. The file goes stale, so while it keeps something, the kubelet
is made to write it anew: it does so for each list of a device plugin, also for one in which nothing is different. It
forgets pods that ended when it is asked for its pods; so it has to be asked first, and the file is looked at again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from pydra_core._legacy.podresources import Name

_log = logging.getLogger(__name__)
RENEW = 30.0
"""Seconds between two times that the kubelet is made to write the file."""


class Veto:
    """What of one node is kept."""

    def __init__(self, named: Callable[[], frozenset[Name]], renew: Callable[[], None]) -> None:
        """Begin.

        Args:
            named: what containers have by the kubelet's file, stale or not.
            renew: makes the kubelet write it anew, soon.
        """
        self._named = named
        self._renew = renew
        self._renewed: float | None = None
        self._kept: frozenset[Name] = frozenset()

    def kept(self, names: Iterable[Name], now: float) -> frozenset[Name]:
        """Those of `names` that must not be released; called just after the kubelet was asked for its pods.

        Args:
            names: was given, and never listed.
            now: seconds, of the clock of all calls.
        """
        asked = frozenset(names)
        before, self._kept = self._kept, asked.intersection(self._named() if asked else ())
        for resource, identifier in sorted(self._kept - before):
            details = {"resource": resource, "id": identifier}
            _log.info("no pod is listed with a device that the kubelet has given", extra=details)
        if self._kept and (self._renewed is None or now - self._renewed >= RENEW):
            self._renewed = now
            self._renew()
        return self._kept
