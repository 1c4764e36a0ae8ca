"""What the driver wrote for container runtimes: its spec files, as a runtime reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydra_cdi import Registry
from pydra_testbed.conformance.model import NotMetError
from pydra_testbed.kubelet import ClaimRef
from pydra_testbed.kubelet.services import ClaimAnswer


@dataclass(frozen=True, slots=True)
class Cdi:
    """The node's directory of spec files."""

    directory: Path

    def files(self) -> Mapping[str, bytes]:
        """All files and their contents by name."""
        return {path.name: path.read_bytes() for path in sorted(self.directory.iterdir())}

    def empty(self) -> None:
        """Lose everything, as a directory in memory does in a reboot."""
        for path in self.directory.iterdir():
            path.unlink()

    def check(self, answer: ClaimAnswer) -> None:
        """Every device ID of the answer must be resolvable now. Raises `NotMetError`."""
        known = Registry([self.directory]).refresh()
        missing = [i for device in answer.devices for i in device.cdi_ids if i not in known.devices]
        if missing:
            why = "; ".join(f"{path.name}: {error}" for path, error in known.errors.items())
            raise NotMetError(
                "CDI device IDs that a runtime can resolve when it gets them",
                f"{', '.join(missing)} defined by no valid file of {sorted(self.files())} {why}",
            )

    def edits(self, ref: ClaimRef, answer: ClaimAnswer) -> str:
        """What the answer's devices change in a container, without the claim's own names."""
        known = Registry([self.directory]).refresh().devices
        found = [known[i] for device in answer.devices for i in device.cdi_ids if i in known]
        text = repr([(f.device.container_edits, f.origin.spec.container_edits) for f in found])
        for own in (ref.uid, ref.name):
            text = text.replace(own, "CLAIM")
        return text
