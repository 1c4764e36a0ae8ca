"""CEL for devices, with Kubernetes' verdicts: used by the scheduler, the API server and `pydra explain`."""

from pydra_testbed.cel.device import DeviceView, device_view
from pydra_testbed.cel.errors import CelCompileError, CelEvaluationError
from pydra_testbed.cel.selector import CompiledSelector, compile_selector, complaint

__all__ = [
    "CelCompileError",
    "CelEvaluationError",
    "CompiledSelector",
    "DeviceView",
    "compile_selector",
    "complaint",
    "device_view",
]
