"""Refuses SDK modules in the driver's own process, where a vendor's library could take everything down.

Installed while a driver is served. A test may import an SDK module where it likes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType

from pydra_core import sdk
from pydra_core.errors import ConfigError


@contextmanager
def worker_only() -> Iterator[None]:
    """Refuse to import any module that an `Sdk` names, during the block.

    Raises:
        ConfigError: one is loaded already.
    """
    for module in sorted(sdk.named().keys() & sys.modules.keys()):
        raise ConfigError(
            f"SDK module {module}: {_REMEDY}", key="sdk", source=sys.modules[module].__file__
        )
    guard = _Guard()
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)


_REMEDY = (
    "it is loaded in the driver's own process, which a crash of the vendor's library would end; import it nowhere,"
    " name it with `Sdk` and call its operations through `self.sdk`"
)


class _Guard(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Find nothing, ever.

        Raises:
            ImportError: the module is for the worker only.
        """
        del path, target
        if fullname in sdk.named():
            raise ImportError(f"SDK module {fullname}: {_REMEDY}", name=fullname)
