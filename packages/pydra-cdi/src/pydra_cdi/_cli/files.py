"""Input of the commands: files named on the command line, `-` for standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydra_cdi.errors import SpecFileError, UnreadableError
from pydra_cdi.reading import SIZE_LIMIT, read_file

STDIN = Path("-")


def read_input(path: Path) -> bytes:
    """Read a file, or standard input for `-`.

    Raises:
        SpecFileError: It cannot be read, or is larger than a spec can be.
    """
    if path != STDIN:
        return read_file(path, SIZE_LIMIT)
    data = sys.stdin.buffer.read(SIZE_LIMIT + 1)
    if len(data) > SIZE_LIMIT:
        raise SpecFileError(path, f"it has more than {SIZE_LIMIT} bytes", "give one spec")
    return data


def read_oci_spec(path: Path) -> Mapping[str, Any]:
    """Read an OCI spec, JSON or YAML; whether it is an object is for `inject` to check.

    Raises:
        SpecFileError: It cannot be read, or is neither.
    """
    data = read_input(path)
    try:
        is_json = data.lstrip().startswith(b"{")
        tree: Mapping[str, Any] = json.loads(data) if is_json else _yaml(data)
    except (ValueError, RecursionError, UnreadableError) as error:
        remedy = "give the config.json of a container's bundle"
        raise SpecFileError(path, f"it is no OCI spec: {error}", remedy) from error
    return tree


def _yaml(data: bytes) -> Any:
    from pydra_cdi._yaml import parse_yaml  # noqa: PLC0415 - lazy: most OCI specs are JSON

    return parse_yaml(data)
