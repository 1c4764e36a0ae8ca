"""Container Device Interface for Python: model, builder, validator, spec files, registry, injection.

Driver authors build specs (`SpecBuilder`, or `Spec` and its parts), the driver framework writes them
(`SpecDirectory`), runtimes read them (`Registry`) and apply them to containers (`inject`).
"""

from pydra_cdi.builder import SpecBuilder
from pydra_cdi.codec import decode_spec, encode_spec
from pydra_cdi.errors import (
    CdiError,
    Fault,
    InjectionError,
    SpecError,
    SpecFileError,
    UnresolvedDevicesError,
)
from pydra_cdi.files import SpecDirectory
from pydra_cdi.injection import inject
from pydra_cdi.model import (
    ContainerEdits,
    Device,
    DeviceNode,
    Hook,
    IntelRdt,
    Mount,
    NetDevice,
    Spec,
)
from pydra_cdi.names import QualifiedName
from pydra_cdi.reading import read_spec
from pydra_cdi.registry import Registry
from pydra_cdi.snapshot import Snapshot
from pydra_cdi.validation import find_faults
from pydra_cdi.versions import minimum_version

__all__ = [
    "CdiError",
    "ContainerEdits",
    "Device",
    "DeviceNode",
    "Fault",
    "Hook",
    "InjectionError",
    "IntelRdt",
    "Mount",
    "NetDevice",
    "QualifiedName",
    "Registry",
    "Snapshot",
    "Spec",
    "SpecBuilder",
    "SpecDirectory",
    "SpecError",
    "SpecFileError",
    "UnresolvedDevicesError",
    "decode_spec",
    "encode_spec",
    "find_faults",
    "inject",
    "minimum_version",
    "read_spec",
]
