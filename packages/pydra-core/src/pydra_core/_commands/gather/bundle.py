"""The archive itself: contents in the order they were put in, what was left out and why, one manifest for both."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from pydra_core._commands.gather.files import NotGatheredError
from pydra_core.errors import PydraError


class Bundle:
    """Collects contents up to a limit, then is written once. Equal contents make equal archives."""

    def __init__(self, limit: int, about: dict[str, Any]) -> None:
        self._about = about
        self._room = limit
        self._contents: dict[str, bytes] = {}
        self._left_out: list[dict[str, str]] = []

    @property
    def count(self) -> int:
        return len(self._contents)

    @property
    def left_out(self) -> int:
        return len(self._left_out)

    def add(self, name: str, content: bytes) -> None:
        """Put a file in, if there is room."""
        if len(content) > self._room:
            self.leave_out(name, f"{len(content)} bytes, and the bundle has room for {self._room}")
            return
        self._room -= len(content)
        self._contents[name] = content

    def add_json(self, name: str, value: Any) -> None:
        """Put a value in, as people read it."""
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        self.add(name, text.encode(errors="backslashreplace") + b"\n")

    def leave_out(self, name: str, why: str) -> None:
        """Note what is not in it."""
        self._left_out.append({"what": name, "why": why})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What cannot be had costs only itself."""
        try:
            yield
        except (NotGatheredError, PydraError) as err:
            self.leave_out(name, str(err))
        except OSError as err:
            self.leave_out(name, f"{err.filename or name}: {err.strerror or err}")

    def write(self, out: IO[bytes]) -> None:
        """Write the archive: the manifest first."""
        contents = [
            {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in self._contents.items()
        ]
        manifest = {**self._about, "contents": contents, "left_out": self._left_out}
        first = json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n"
        with (
            gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name, data in {"manifest.json": first, **self._contents}.items():
                info = tarfile.TarInfo(f"pydra/{name}")
                info.size, info.mode = len(data), 0o600
                archive.addfile(info, io.BytesIO(data))
