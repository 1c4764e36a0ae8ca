"""CEL for devices, with Kubernetes' verdicts: used by the scheduler, the API server and `pydra explain`."""

from pydra_testbed.cel.device import DeviceView, device_view
from pydra_testbed.cel.errors import CelCompileError, CelEvaluationError, ErrorKind
from pydra_testbed.cel.estimate import MAX_COST
from pydra_testbed.cel.features import Features
from pydra_testbed.cel.selector import CompiledSelector, Measured, compile_selector, complaint

__all__ = [
    "MAX_COST",
    "CelCompileError",
    "CelEvaluationError",
    "CompiledSelector",
    "DeviceView",
    "ErrorKind",
    "Features",
    "Measured",
    "compile_selector",
    "complaint",
    "device_view",
]
