"""The kubelet's directories: there, whose, writable; and where else a kubelet root was found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydra_core._commands.doctor import folders
from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok, skipped
from pydra_core._commands.doctor.subject import Subject

KNOWN_ROOTS = (
    "/var/lib/kubelet",
    "/var/lib/k0s/kubelet",
    "/var/snap/microk8s/common/var/lib/kubelet",
    "/var/lib/rancher/k3s/agent/kubelet",
    "/var/lib/rancher/rke2/agent/kubelet",
    "/opt/rke/var/lib/kubelet",
    "/var/data/kubelet",
)
"""The default, and where k0s, microk8s, K3s, RKE2, RKE and IBM's nodes keep it."""


def look(subject: Subject) -> Iterator[Result]:
    """Root, the two directories a driver writes below, and the optional pod-resources socket."""
    root = subject.settings.kubelet_root
    if not root.is_dir():
        yield _no_root(subject, root)
        return
    yield ok("kubelet: root", f"{root}, {folders.owner(root)}")
    for name in ("plugins_registry", "plugins"):
        yield from _directory(f"kubelet: {name}", root / name)
    yield _pod_resources(root / "pod-resources" / "kubelet.sock")


def other_roots(subject: Subject) -> list[str]:
    """Kubelet roots that exist on the node, the one in the settings left out."""
    found = (path for path in KNOWN_ROOTS if folders.is_seen(subject.on_host(path)))
    return [path for path in found if Path(path) != subject.settings.kubelet_root]


def _no_root(subject: Subject, root: Path) -> Result:
    seen = f"{root} is a file" if root.exists() else f"{root} does not exist"
    if others := other_roots(subject):
        fix = (
            f"set KUBELET_ROOT={others[0]} (found on this node: {', '.join(others)});"
            " in a pod, mount it there by hostPath at the same path"
        )
    else:
        fix = (
            "run this on a node, or in a pod with the kubelet's --root-dir mounted by hostPath at the same"
            " path; set KUBELET_ROOT if the kubelet runs with another --root-dir"
        )
    return finding(Finding.KUBELET_ROOT, "kubelet: root", seen, fix)


def _directory(check: str, directory: Path) -> Iterator[Result]:
    if not directory.is_dir():
        yield finding(
            Finding.KUBELET_DIRECTORY,
            check,
            f"{directory} does not exist",
            f"the kubelet makes it when it starts: set KUBELET_ROOT to its --root-dir, or mount {directory}"
            " into the pod by hostPath",
        )
        return
    seen = f"{directory}, {folders.owner(directory)}"
    if err := folders.refusal(directory):
        yield finding(
            Finding.KUBELET_DIRECTORY,
            check,
            f"{seen}: {err.strerror}",
            folders.fix_for(err, directory),
        )
    elif folders.anyone_may_write(directory):
        yield finding(
            Finding.KUBELET_DIRECTORY,
            check,
            f"{seen}: every user may write there",
            f"chmod o-w {directory}",
        )
    else:
        yield ok(check, f"{seen}, writable")


def _pod_resources(socket: Path) -> Result:
    if socket.is_socket():
        return ok("kubelet: pod-resources", str(socket))
    return skipped("kubelet: pod-resources", f"optional, and {socket} is not there")
