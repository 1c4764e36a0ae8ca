"""Golden files: what the chart renders to, in the order in which Helm installs it, written so that people can review it.

Tests read these files and so need no renderer; `tools/check_charts.py` holds them equal to the templates.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from charts.cases import GOLDEN, Case, cases
from charts.rendering import Rendered, Renderer

INSTALL_ORDER = (
    "PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodSecurityPolicy",
    "PodDisruptionBudget", "ServiceAccount", "Secret", "SecretList", "ConfigMap", "StorageClass",
    "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition", "ClusterRole", "ClusterRoleList",
    "ClusterRoleBinding", "ClusterRoleBindingList", "Role", "RoleList", "RoleBinding", "RoleBindingList",
    "Service", "DaemonSet", "Pod", "ReplicationController", "ReplicaSet", "Deployment",
    "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob", "IngressClass", "Ingress", "APIService",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
)  # fmt: skip
"""Helm 3's; kinds it does not name come last, by name."""
HOOK, WEIGHT = "helm.sh/hook", "helm.sh/hook-weight"


def is_hook(body: dict[str, Any]) -> bool:
    """Whether Helm leaves it out of the release and makes it for a hook, as `helm test`."""
    return HOOK in (body["metadata"].get("annotations") or {})


def in_order(objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """As Helm installs them; hooks last, by weight."""
    return sorted(objects, key=_place)


def _place(body: dict[str, Any]) -> tuple[bool, int, int, str, str]:
    kind = body["kind"]
    weight = int((body["metadata"].get("annotations") or {}).get(WEIGHT, 0))
    known = INSTALL_ORDER.index(kind) if kind in INSTALL_ORDER else len(INSTALL_ORDER)
    return is_hook(body), weight, known, kind, body["metadata"]["name"]


def kept(root: Path, case: str) -> list[dict[str, Any]]:
    """The objects of a golden file, in their order."""
    text = (root / GOLDEN / f"{case}.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def written(rendered: Rendered) -> str:
    """The objects as one YAML file; the same for every renderer."""
    text = yaml.safe_dump_all(
        in_order(rendered.objects), sort_keys=False, width=100, allow_unicode=True
    )
    return f"# Rendered by python tools/check_charts.py --write\n---\n{text}"


def compare(root: Path, renderer: Renderer, *, write: bool) -> Iterator[str]:
    """Render all cases; say which files are behind, or write them. Raises `RenderError`."""
    for case in cases(root):
        for path, text in _files(renderer.render(root, case), case):
            file = root / path
            if write:
                file.write_text(text, encoding="utf-8")
            elif not file.exists() or file.read_text(encoding="utf-8") != text:
                yield f"{path}: is not what {renderer.name} renders; run python tools/check_charts.py --write"


def _files(rendered: Rendered, case: Case) -> Iterator[tuple[Path, str]]:
    yield case.objects, written(rendered)
    if rendered.notes is not None:
        yield case.notes, rendered.notes
