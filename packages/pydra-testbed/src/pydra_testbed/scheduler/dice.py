"""The choice among equally good nodes, which Kubernetes leaves to chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from pydra_testbed.objects import KubeObject

Dice: TypeAlias = Callable[[KubeObject, Sequence[str]], str]
"""Given the pod and the names of the best nodes, in the scheduler's order, names one of them."""


def first_of(pod: KubeObject, nodes: Sequence[str]) -> str:
    """The first node, so that a run can be repeated."""
    del pod
    return nodes[0]
