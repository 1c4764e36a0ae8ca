"""Lets a vendor's library report an error when SHIELD-01 wants one; no other process but a worker is changed.

Python imports this by its name before it runs the worker of pydra-core's shield, which is then given functions that
look into the folder `CONFORMANCE_LIBRARY` first. Nothing but small parts of the standard library: this runs in every
Python process that the driver starts.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

_WORKER = "/_shield/worker.py"
_FOLDER = os.environ.get("CONFORMANCE_LIBRARY", "")
_CALLS = ("reads", "mutates")


def _unless_it_fails(function: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*args: Any, **kwargs: Any) -> Any:
        if os.path.exists(f"{_FOLDER}/fails"):  # noqa: PTH110 - pathlib is a megabyte in a process whose memory is counted
            os.close(os.open(f"{_FOLDER}/failed", os.O_CREAT | os.O_WRONLY, 0o600))
            raise RuntimeError("conformance: the library reports code 15")
        return function(*args, **kwargs)

    asked.__dict__.update(function.__dict__)
    return asked


def _interpose() -> None:
    load = importlib.import_module

    def loaded(name: str, package: str | None = None) -> Any:
        module = load(name, package)
        for key, value in list(vars(module).items()):
            if getattr(value, "__dict__", {}).get("__pydra_kind__") in _CALLS:
                setattr(module, key, _unless_it_fails(value))
        return module

    importlib.import_module = loaded


if _FOLDER and any(word.endswith(_WORKER) for word in sys.orig_argv):
    _interpose()
