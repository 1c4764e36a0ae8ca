"""What a new driver is called, everywhere it has a name: one word from the author, all others from it."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass

from pydra_cdi import QualifiedName, SpecError
from pydra_core._api.rules import is_driver_name
from pydra_core.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 30


@dataclass(frozen=True, slots=True)
class Names:
    """Of a driver: its distribution and folder, its module and class, its driver name, its variable."""

    name: str
    module: str
    class_name: str
    driver: str
    variable: str


def derive(name: str, driver: str) -> Names:
    """Check both names and derive the others; without `driver`, a name below example.com.

    Raises:
        ConfigError: a name is not possible; says the rule and a name that would be.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise _refused(
            f"name {name!r}: must be lower-case letters and digits, in words joined by single dashes, at most"
            f" {_LONGEST} characters; for example acme or acme-cards",
            "name",
        )
    module = name.replace("-", "_")
    _check_module(name, module)
    driver = driver or f"{name}.example.com"
    if not is_driver_name(driver) or not _is_vendor(driver):
        raise _refused(
            f"driver name {driver!r}: must be a lower-case DNS subdomain of at most 63 characters that begins with"
            " a letter; for example card.acme.example",
            "driver_name",
        )
    class_name = "".join(word.capitalize() for word in name.split("-")) + "Driver"
    return Names(name, module, class_name, driver, f"{module.upper()}_DEVICE")


def _check_module(name: str, module: str) -> None:
    taken = ""
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        taken = "is a word of the Python language"
    elif module in sys.stdlib_module_names:
        taken = "is a module of Python's own library"
    elif importlib.util.find_spec(module) is not None:
        taken = "is a module that is installed here already"
    if taken:
        raise _refused(
            f"name {name!r}: {module} {taken}; choose another, for example {name}-driver", "name"
        )


def _is_vendor(driver: str) -> bool:
    """CDI wants a vendor to begin with a letter, which a DNS subdomain need not."""
    try:
        QualifiedName(driver, "claim", "0")
    except SpecError:
        return False
    return True


def _refused(message: str, key: str) -> ConfigError:
    return ConfigError(f"new: {message}", key=key, source="command line")
