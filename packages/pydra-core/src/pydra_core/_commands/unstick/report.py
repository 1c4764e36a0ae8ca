"""What was released and what is left: lines as it happens, or one document at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from pydra_core._state.records import Intent, Prepared
from pydra_core._values import ClaimRef


class Report:
    """Tells a person or a program how it goes."""

    def __init__(self, driver: str, form: str) -> None:
        self.driver = driver
        self._form = form
        self._released: list[dict[str, Any]] = []

    def warn(self, text: str) -> None:
        """Say what a person must know, beside the output."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def begin(self, held: Sequence[Prepared | Intent]) -> None:
        """Say what is waited for."""
        if held and self._form == "text":
            sys.stdout.write(self._in_words(held))
            sys.stdout.flush()

    def released(self, ref: ClaimRef, devices: Sequence[str]) -> None:
        """One claim is unprepared."""
        named = {"namespace": ref.namespace, "name": ref.name, "uid": ref.uid}
        self._released.append({**named, "devices": list(devices)})
        if self._form == "text":
            what = ", ".join(devices) or "it was not in the journal"
            sys.stdout.write(f"released {ref} (UID {ref.uid}): {what}\n")
            sys.stdout.flush()

    def end(self, left: Sequence[Prepared | Intent]) -> None:
        """Say what is still prepared."""
        if self._form == "text":
            sys.stdout.write(self._in_words(left))
            return
        document = {
            "driver": self.driver,
            "released": self._released,
            "left": [
                {"namespace": r.namespace, "name": r.name, "uid": r.uid, "devices": _devices(r)}
                for r in left
            ],
        }
        if self._form == "json":
            json.dump(document, sys.stdout, indent=2)
            sys.stdout.write("\n")
        else:
            yaml.safe_dump(document, sys.stdout, sort_keys=False)

    def _in_words(self, left: Sequence[Prepared | Intent]) -> str:
        if not left:
            return f"Nothing of driver {self.driver} is prepared on this node.\n"
        lines = [f"  {r.namespace}/{r.name} (UID {r.uid}): {', '.join(_devices(r))}" for r in left]
        many = "claim is" if len(left) == 1 else "claims are"
        head = f"{len(left)} {many} prepared; each is released once its pod is deleted:"
        return "\n".join([head, *lines]) + "\n"


def _devices(record: Prepared | Intent) -> list[str]:
    return [use.device for use in record.uses]
