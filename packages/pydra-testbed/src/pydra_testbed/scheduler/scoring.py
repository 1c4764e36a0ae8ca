"""Which of the feasible nodes: preferred affinity and the rank of alternatives, weighted as in Kubernetes.

At a tie Kubernetes rolls dice (`dice`).
"""

from __future__ import annotations

from collections.abc import Sequence

from pydra_testbed.objects import KubeObject
from pydra_testbed.scheduler.filters import preference
from pydra_testbed.scheduler.model import Node
from pydra_testbed.scheduler.task import ClaimAllocation

_MOST_ALTERNATIVES = 8
_WEIGHT = 2
_FEWEST = 100

Candidate = tuple[Node, tuple[ClaimAllocation, ...]]


def enough_nodes(total: int) -> int:
    """How many feasible nodes end the search: all up to 100, then a shrinking share."""
    share = max(50 - total // 125, 5)
    return total if total < _FEWEST else max(total * share // 100, _FEWEST)


def best(pod: KubeObject, candidates: Sequence[Candidate]) -> list[int]:
    """Indices of the nodes with the highest score."""
    preferred = _normalized([preference(pod, node) for node, _ in candidates])
    ranked = _normalized([_rank(allocations) for _, allocations in candidates])
    scores = [_WEIGHT * (a + b) for a, b in zip(preferred, ranked, strict=True)]
    return [index for index, score in enumerate(scores) if score == max(scores)]


def _normalized(scores: list[int]) -> list[int]:
    highest = max(scores)
    return [100 * score // highest for score in scores] if highest else scores


def _rank(allocations: Sequence[ClaimAllocation]) -> int:
    """An alternative is worth more the earlier it stands in its list."""
    total = 0
    for item in allocations:
        chosen = {result["request"] for result in item.allocation["devices"]["results"]}
        for group in item.claim.groups:
            if not group.is_prioritized:
                continue
            names = [request.full_name for request in group.alternatives]
            total += sum(_MOST_ALTERNATIVES - names.index(name) for name in names if name in chosen)
    return total
