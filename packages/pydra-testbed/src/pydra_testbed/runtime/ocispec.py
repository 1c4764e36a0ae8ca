"""The OCI runtime spec of a container before CDI adds devices to it.

Built for each start from the pod alone (OCI runtime-spec 1.3, config.json). What the testbed does not
perform on the host — root, mounts, namespaces, user — is written down as a node would, so that what a
driver's CDI edits change can be read from the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydra_testbed.objects import KubeObject, name_of, namespace_of, uid_of
from pydra_testbed.runtime.bundles import BundleStore
from pydra_testbed.runtime.environment import environment
from pydra_testbed.runtime.errors import NoCommandError
from pydra_testbed.runtime.expansion import expand

_NAMESPACES = ("pid", "ipc", "uts", "mount", "network", "cgroup")

_BASE_MOUNTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
)


def container_spec(
    pod: KubeObject,
    container: KubeObject,
    store: BundleStore,
    address: str,
    added: Iterable[tuple[str, str]] = (),
) -> KubeObject:
    """The container's config.json, with the variables `added` by device plugins.

    Raises `ContainerError` for what cannot be built.
    """
    env = environment(pod, container, address, added)
    return {
        "ociVersion": "1.3.0",
        "process": _process(container, env, _user(pod, container)),
        "root": {"path": "rootfs", "readonly": _readonly(container)},
        "hostname": name_of(pod),
        "mounts": [_mount(*mount) for mount in _BASE_MOUNTS] + _volumes(pod, container, store),
        "annotations": _annotations(pod, container),
        "linux": {
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


def _process(container: KubeObject, env: Mapping[str, str], user: KubeObject) -> KubeObject:
    command = container.get("command") or ()
    if not command:
        raise NoCommandError(str(container["name"]))
    words = [*command, *(container.get("args") or ())]
    return {
        "terminal": False,
        "user": user,
        "args": [expand(str(word), env) for word in words],
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": str(container.get("workingDir") or "/"),
    }


def _user(pod: KubeObject, container: KubeObject) -> KubeObject:
    context = {
        **(pod["spec"].get("securityContext") or {}),
        **(container.get("securityContext") or {}),
    }
    return {"uid": int(context.get("runAsUser", 0)), "gid": int(context.get("runAsGroup", 0))}


def _readonly(container: KubeObject) -> bool:
    return bool((container.get("securityContext") or {}).get("readOnlyRootFilesystem", False))


def _mount(destination: str, kind: str, source: str, options: tuple[str, ...]) -> KubeObject:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _volumes(pod: KubeObject, container: KubeObject, store: BundleStore) -> list[KubeObject]:
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    mounts = []
    for mount in container.get("volumeMounts") or ():
        source = _source(pod, volumes.get(mount["name"], {"name": mount["name"]}), store)
        access = "ro" if mount.get("readOnly") else "rw"
        mounts.append(
            _mount(str(mount["mountPath"]), "bind", source, ("rbind", "rprivate", access))
        )
    return mounts


def _source(pod: KubeObject, volume: KubeObject, store: BundleStore) -> str:
    if "hostPath" in volume:
        return str(volume["hostPath"]["path"])
    kind = next((key for key in volume if key != "name"), "unknown")
    return str(store.volume(pod, kind, str(volume["name"])))


def _annotations(pod: KubeObject, container: KubeObject) -> KubeObject:
    return {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": str(container["name"]),
        "io.kubernetes.cri.sandbox-name": name_of(pod),
        "io.kubernetes.cri.sandbox-namespace": namespace_of(pod),
        "io.kubernetes.cri.sandbox-uid": uid_of(pod),
    }
