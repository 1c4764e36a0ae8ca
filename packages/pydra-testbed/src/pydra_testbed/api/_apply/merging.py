"""Merging an applied configuration into the live object.

Scalars and single-value lists of the configuration win; maps merge by key; keyed lists keep the
configuration's order, with the live object's other entries where they stood (structured-merge-diff `merge`).
"""

from __future__ import annotations

from typing import Any

from pydra_testbed.api._apply.typed import step_of
from pydra_testbed.api._apply.types import Leaf, ListType, MapType, MergeType, resolved


def merged(live: Any, config: Any, shape: MergeType) -> Any:
    """Both together; neither is changed."""
    kind = resolved(shape, config, live)
    if isinstance(kind, Leaf) or kind.atomic or (not live and not config):
        return config
    if isinstance(kind, MapType):
        known = live if isinstance(live, dict) else {}
        return _maps(known, config or {}, kind)
    return _Lists(kind, live if isinstance(live, list) else [], config or []).run()


def _maps(live: dict[str, Any], config: dict[str, Any], kind: MapType) -> dict[str, Any]:
    result = dict(live)
    for key, value in config.items():
        child = kind.of(key) or Leaf.ANY
        result[key] = merged(live[key], value, child) if key in live else value
    return result


class _Lists:
    """One merge of two keyed lists, walked side by side."""

    def __init__(self, kind: ListType, live: list[Any], config: list[Any]) -> None:
        self._kind = kind
        self._live = [(step_of(kind, item), item) for item in live]
        self._config = [(step_of(kind, item), item) for item in config]
        self._in_live = dict(reversed(self._live))
        self._in_config = dict(self._config)
        self._shared = [step for step, _ in self._config if step in self._in_live]
        self._done: set[str] = set()
        self._out: list[Any] = []

    def run(self) -> list[Any]:
        left = right = 0
        while left < len(self._live) or right < len(self._config):
            ours = self._live[left] if left < len(self._live) else None
            if ours is not None and ours[0] not in self._in_config:
                self._out.append(ours[1])
                left += 1
            elif ours is not None and self._is_passed(ours[0], right):
                left += 1
            else:
                left += ours is not None and self._is_next(ours[0], right)
                self._take(*self._config[right])
                right += 1
        return self._out

    def _is_next(self, step: str, right: int) -> bool:
        return right < len(self._config) and self._config[right][0] == step

    def _is_passed(self, step: str, right: int) -> bool:
        """A live entry that was merged already, or that the configuration moved elsewhere."""
        if step in self._done or right >= len(self._config):
            return True
        waiting = [shared for shared in self._shared if shared not in self._done]
        return not self._is_next(step, right) and bool(waiting) and waiting[0] != step

    def _take(self, step: str, item: Any) -> None:
        self._done.add(step)
        live = self._in_live.get(step)
        self._out.append(item if live is None else merged(live, item, self._kind.item))
