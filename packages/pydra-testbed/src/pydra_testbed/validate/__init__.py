"""Manifests held against everything that is known of them without a cluster; `pydra validate` calls this."""

from pydra_testbed.validate.findings import Finding, Severity
from pydra_testbed.validate.validating import Outcome, validate

__all__ = ["Finding", "Outcome", "Severity", "validate"]
