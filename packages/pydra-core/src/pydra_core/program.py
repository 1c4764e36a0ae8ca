"""For a vendor's further programs: what runs beside a driver and is none, such as the keeper of a vendor's daemons."""

from __future__ import annotations

from collections.abc import Mapping

from pydra_core import settings
from pydra_core._telemetry import logs


def log_as_told(environ: Mapping[str, str]) -> None:
    """Log as drivers do: by `LOG_LEVEL` and `LOG_FORMAT`.

    Raises:
        ConfigError: the environment holds what is no setting's value; names the variable.
    """
    common = settings.load(None, environ, {})
    logs.configure(common.log_level, common.log_format)
