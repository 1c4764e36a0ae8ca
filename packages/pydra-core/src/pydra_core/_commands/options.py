"""Options several commands share: which driver, and every setting as a flag."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from importlib.metadata import entry_points
from pathlib import Path

from pydra_core import settings
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError


def add_driver(parser: ArgumentParser) -> None:
    """Offer `--driver NAME`, unless this is a driver's own program."""
    if not isinstance(parser.get_default("driver"), type):
        parser.add_argument(
            "--driver",
            default="",
            metavar="NAME",
            help="which installed driver (default: the only one)",
        )


def add_settings(parser: ArgumentParser) -> None:
    """Offer every setting as a flag, with its variable and default in the help."""
    group = parser.add_argument_group("settings", "defaults < --config FILE < environment < flags")
    group.add_argument("--config", type=Path, metavar="FILE", help="YAML mapping of setting names")
    defaults = settings.Settings()
    for key in settings.all_keys():
        default = getattr(defaults, key.name)
        shown = f", default {default}" if str(default) else ""
        group.add_argument(
            key.flag, dest=key.name, metavar="VALUE", help=f"{key.help} (${key.env}{shown})"
        )


def read_settings(arguments: Namespace) -> settings.Settings:
    """Combine file, environment and flags. Raises `ConfigError`."""
    flags = {
        k.name: getattr(arguments, k.name)
        for k in settings.all_keys()
        if getattr(arguments, k.name) is not None
    }
    return settings.load(arguments.config, os.environ, flags)


def find_driver(arguments: Namespace) -> type[Driver]:
    """Return the driver class that was asked for, or the only one installed.

    Raises:
        ConfigError: no such driver, or several and none named.
    """
    if isinstance(arguments.driver, type):
        return arguments.driver
    installed = {e.name: e for e in entry_points(group="pydra.drivers")}
    name = arguments.driver or (next(iter(installed)) if len(installed) == 1 else "")
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none; install a package such as pydra-pizza"
        wrong = f"driver {name!r} is not installed" if name else "say which driver with --driver"
        raise ConfigError(f"{wrong}; installed: {known}", key="driver", source="flag --driver")
    try:
        loaded = installed[name].load()
    except (ImportError, AttributeError) as err:
        raise ConfigError(
            f"driver {name!r}: its package cannot be loaded: {err}; install what it needs",
            key="driver",
            source="entry point",
        ) from err
    if not (isinstance(loaded, type) and issubclass(loaded, Driver)):
        raise ConfigError(
            f"driver {name!r}: its entry point is no Driver class",
            key="driver",
            source="entry point",
        )
    return loaded
