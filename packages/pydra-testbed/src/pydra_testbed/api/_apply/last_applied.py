"""From `kubectl apply` to `kubectl apply --server-side`: the annotation in which the former keeps its configuration.

Fields in it are kubectl's own, so they are no conflict for the manager `kubectl`; and as long as the annotation
stands, a server-side apply by kubectl brings it up to date (apimachinery `lastAppliedManager`).
"""

from __future__ import annotations

import json

from pydra_testbed.api._apply.managers import Conflict
from pydra_testbed.api._apply.paths import NONE, Paths
from pydra_testbed.api._apply.typed import fields_of
from pydra_testbed.api._apply.types import MergeType
from pydra_testbed.objects import KubeObject

KUBECTL = "kubectl"
_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


def left_conflicts(
    live: KubeObject, shape: MergeType, conflicts: tuple[Conflict, ...]
) -> tuple[Conflict, ...]:
    """The conflicts about fields that kubectl did not apply before."""
    own = _fields(live, shape)
    return tuple(conflict for conflict in conflicts if conflict.path not in own)


def _fields(live: KubeObject, shape: MergeType) -> Paths:
    text = (live["metadata"].get("annotations") or {}).get(_ANNOTATION, "")
    try:
        return frozenset(fields_of(json.loads(text), shape)) if text else NONE
    except (ValueError, AttributeError, TypeError):
        return NONE  # somebody else's text: it allows nothing


def bring_up_to_date(obj: KubeObject, config: KubeObject) -> None:
    """Let an annotation that is there hold what was applied now, in place."""
    annotations = obj["metadata"].get("annotations") or {}
    if annotations.get(_ANNOTATION):
        applied = json.loads(json.dumps(config))
        (applied["metadata"].get("annotations") or {}).pop(_ANNOTATION, None)
        text = json.dumps(applied, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        annotations[_ANNOTATION] = f"{text}\n"
