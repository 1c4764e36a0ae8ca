"""Which renderings of the chart are kept as golden files: each vendor's, and the interesting sets of values.

A set of values in `tests/charts/values` lies over a vendor's, as an admin's own file does: `nvidia-small.yaml` over those
of `nvidia`, one without a vendor's name over the pizza driver's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHART = Path("charts/dra-driver")
SETS = Path("tests/charts/values")
GOLDEN = Path("tests/charts/golden")
_BASE = "pizza"


@dataclass(frozen=True, slots=True)
class Case:
    """One rendering; paths are relative to the root."""

    name: str
    release: str
    namespace: str
    files: tuple[Path, ...]

    @property
    def objects(self) -> Path:
        """The golden file of the objects."""
        return GOLDEN / f"{self.name}.yaml"

    @property
    def notes(self) -> Path:
        """The golden file of what is told after an install."""
        return GOLDEN / f"{self.name}.txt"


def cases(root: Path) -> Iterator[Case]:
    """All of them, by name."""
    for vendor in sorted((root / CHART / "values").glob("*.yaml")):
        release = f"dra-driver-{vendor.stem}"
        yield Case(vendor.stem, release, "kube-system", (vendor.relative_to(root),))
    for over in sorted((root / SETS).glob("*.yaml")):
        below = (CHART / "values" / f"{name}.yaml" for name in (over.stem.partition("-")[0], _BASE))
        base = next(file for file in below if (root / file).exists())
        yield Case(over.stem, "kitchen", "drivers", (base, over.relative_to(root)))
