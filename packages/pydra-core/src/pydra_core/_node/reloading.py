"""SIGHUP: settings read anew, and those taken over that can change while calls are in flight."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from pydra_core._node.discovery import Discovery
from pydra_core._node.lifecycle import Stop
from pydra_core._telemetry import logs
from pydra_core.errors import ConfigError
from pydra_core.settings import Settings

_log = logging.getLogger(__name__)
_LIVE = {"log_level", "log_format", "discover_interval", "drain_timeout"}


class Reloading:
    """Holds the settings in use."""

    def __init__(self, settings: Settings, read: Callable[[], Settings], stop: Stop) -> None:
        self.stop = stop
        self.discovery: Discovery | None = None
        self._settings = settings
        self._read = read

    def reload(self) -> None:
        """Take over what can be; what needs a restart is named, and a mistake changes nothing."""
        try:
            wanted = self._read()
        except ConfigError as err:
            _log.error("settings not reloaded, the old ones stay", extra={"why": str(err)})
            return
        changed = {
            field.name
            for field in dataclasses.fields(Settings)
            if getattr(wanted, field.name) != getattr(self._settings, field.name)
        }
        live = {name: getattr(wanted, name) for name in changed & _LIVE}
        self._settings = dataclasses.replace(self._settings, **live)
        logs.configure(self._settings.log_level, self._settings.log_format)
        self.stop.grace = self._settings.drain_timeout
        if self.discovery:
            self.discovery.interval = self._settings.discover_interval
        details = {
            "changed": ",".join(sorted(live)) or "nothing",
            "needs_restart": ",".join(sorted(changed - _LIVE)) or "nothing",
        }
        _log.warning("settings reloaded", extra=details)
