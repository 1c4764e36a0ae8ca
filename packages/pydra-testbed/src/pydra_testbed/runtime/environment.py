"""A container's environment, from its `env` list and the pod it belongs to.

Called by `ocispec` for each container start. Values come from the pod alone: `fieldRef` is answered,
ConfigMaps, Secrets and `resourceFieldRef` are refused by name, so that a container never starts with
a variable silently missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from pydra_testbed.objects import KubeObject
from pydra_testbed.runtime.errors import ContainerError
from pydra_testbed.runtime.expansion import expand

# What containerd gives a container whose image sets none.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")

_FIELDS: Mapping[str, Callable[[KubeObject, str], str]] = {
    "metadata.name": lambda pod, _ip: str(pod["metadata"]["name"]),
    "metadata.namespace": lambda pod, _ip: str(pod["metadata"]["namespace"]),
    "metadata.uid": lambda pod, _ip: str(pod["metadata"]["uid"]),
    "spec.nodeName": lambda pod, _ip: str(pod["spec"].get("nodeName", "")),
    "spec.serviceAccountName": lambda pod, _ip: str(
        pod["spec"].get("serviceAccountName", "default")
    ),
    "status.hostIP": lambda _pod, ip: ip,
    "status.hostIPs": lambda _pod, ip: ip,
    "status.podIP": lambda _pod, ip: ip,
    "status.podIPs": lambda _pod, ip: ip,
}


def environment(
    pod: KubeObject,
    container: KubeObject,
    address: str,
    added: Iterable[tuple[str, str]] = (),
) -> dict[str, str]:
    """The variables of one container, in order, without CDI's additions.

    `address` is the node's IP, which is the pod's too: testbed pods share the host's network. The container's own
    `env` wins over variables `added` by device plugins, as the kubelet puts it behind them.
    Raises `ContainerError` for a source the testbed does not read.
    """
    values = {"PATH": DEFAULT_PATH, "HOSTNAME": str(pod["metadata"]["name"]), **dict(added)}
    if container.get("envFrom"):
        raise _refused(container, "envFrom", "ConfigMaps and Secrets")
    for variable in container.get("env") or ():
        name = str(variable["name"])
        source = variable.get("valueFrom")
        if source:
            values[name] = _from_source(pod, container, name, source, address)
        else:
            values[name] = expand(str(variable.get("value") or ""), values)
    return values


def _from_source(
    pod: KubeObject, container: KubeObject, name: str, source: KubeObject, address: str
) -> str:
    if "fieldRef" not in source:
        raise _refused(container, f"env[{name}].valueFrom", ", ".join(sorted(source)))
    path = str(source["fieldRef"].get("fieldPath", ""))
    if path in _FIELDS:
        return _FIELDS[path](pod, address)
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return str((pod["metadata"].get(keyed.group(1)) or {}).get(keyed.group(2), ""))
    raise _refused(container, f"env[{name}].valueFrom.fieldRef", f"fieldPath {path!r}")


def _refused(container: KubeObject, field: str, what: str) -> ContainerError:
    return ContainerError(
        "CreateContainerConfigError",
        f'container "{container["name"]}": {field}: the testbed does not read {what}; '
        "set a plain value",
    )
