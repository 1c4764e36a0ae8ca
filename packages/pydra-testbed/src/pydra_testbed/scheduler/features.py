"""The feature gates that the scheduler knows, by what they switch on; defaults are those of Kubernetes 1.36."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydra_testbed.cel import Features as CelFeatures


@dataclass(frozen=True, slots=True)
class Features:
    """Fields that a gate drops are dropped by the API server; here stands what changes without a field."""

    binding_conditions: bool = True
    extended_resources: bool = True
    taint_rules: bool = False
    list_attributes: bool = False

    @classmethod
    def of(cls, gates: Mapping[str, bool]) -> Features:
        """Read gates by Kubernetes' names; those not named have their defaults."""
        return cls(
            gates.get("DRADeviceBindingConditions", True),
            gates.get("DRAExtendedResource", True),
            gates.get("DRADeviceTaintRules", False),
            gates.get("DRAListTypeAttributes", False),
        )

    @property
    def cel(self) -> CelFeatures:
        """What selectors may use; the consumable capacity of stored selectors is not gated."""
        return CelFeatures(list_attributes=self.list_attributes)


DEFAULT = Features()
