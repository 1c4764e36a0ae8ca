"""The namespace controller: what a terminating namespace holds is deleted, pods first (KEP-5080).

Started by the cluster. Five seconds after a namespace began to terminate, and every five seconds while it
still holds something; other objects only when no pod is left, since pods may need them to end.
"""

from __future__ import annotations

from typing import ClassVar

from pydra_testbed.controllers.base import Controller
from pydra_testbed.objects import Selection, key_of
from pydra_testbed.reflector import Change

_GRACE = 5.0
_PODS = "pods"


class NamespaceController(Controller):
    """Empties namespaces; the API server removes an empty one."""

    resources: ClassVar[tuple[str, ...]] = ("namespaces",)

    def on_change(self, change: Change) -> None:
        if change.new is not None and change.new["metadata"].get("deletionTimestamp"):
            self.queue.add_after(key_of(change.new), _GRACE)

    async def reconcile(self, key: str) -> None:
        if self.seen["namespaces"].get(key) is None:
            return
        here = Selection(key)
        for resource in (_PODS, *self._others()):
            await self.api.delete_collection(resource, here)
            if resource == _PODS and (await self.api.list(_PODS, here)).items:
                break
        self.queue.add_after(key, _GRACE)

    def _others(self) -> list[str]:
        kinds = [kind.resource for kind in self.api.kinds() if kind.namespaced]
        return [resource for resource in kinds if resource != _PODS]
