"""CDI devices put into a container's OCI spec, as containerd does before it creates the container.

The spec directories are read anew for each container: a driver writes its spec file milliseconds
before the container starts.
"""

from __future__ import annotations

from pathlib import Path

import pydra_cdi
from pydra_testbed.objects import KubeObject
from pydra_testbed.runtime.errors import ContainerError


class Injector:
    """Resolves CDI device IDs in `directories` (later wins); device nodes are looked up in `host`."""

    def __init__(self, directories: tuple[Path, ...], host: Path) -> None:
        self._registry = pydra_cdi.Registry(directories)
        self._host = host

    def inject(self, spec: KubeObject, devices: tuple[str, ...]) -> KubeObject:
        """`spec` with the devices' edits; raises `ContainerError` in containerd's words."""
        if not devices:
            return spec
        try:
            return pydra_cdi.inject(spec, devices, self._registry.refresh(), host=self._host)
        except pydra_cdi.UnresolvedDevicesError as error:
            names = ", ".join(error.device_ids)
            causes = str(error).partition(": ")[2]
            raise _failed(f"unresolvable CDI devices {names} ({causes})") from error
        except pydra_cdi.InjectionError as error:
            raise _failed(str(error)) from error


def _failed(why: str) -> ContainerError:
    return ContainerError("CreateContainerError", f"CDI device injection failed: {why}")
