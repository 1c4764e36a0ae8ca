"""The claim controller: claims for pods from templates, and release when pods are done (KEP-4381).

Started by the cluster. It writes what Kubernetes' ResourceClaim controller writes: the claim, the pod's
`status.resourceClaimStatuses`, on release `reservedFor` and allocation in one status write, then the
finalizer, then the deletion of a template's claim. One difference on purpose: a completed pod is not put
into `reservedFor` again (1.36 does and undoes it, endlessly).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from pydra_testbed.clock import Clock
from pydra_testbed.controllers.podclaims import claim_keys, controller_uid, unmade_entries
from pydra_testbed.controllers.provision import Provisioner
from pydra_testbed.controllers.release import Releaser
from pydra_testbed.objects import Api, key_of, namespace_of, uid_of
from pydra_testbed.reflector import Change, Reflectors
from pydra_testbed.workqueue import WorkQueue

_POD, _CLAIM = "pod:", "claim:"


class ClaimController:
    """Reconciles pods and claims until cancelled."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._queue = WorkQueue(clock, self._reconcile)
        resources = ("pods", "resourceclaims", "resourceclaimtemplates")
        self._seen = Reflectors(api, clock, resources, self._on_change)
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._provisioner = Provisioner(api, self._seen)
        self._releaser = Releaser(api, self._seen)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._seen.run())
            await self._seen.synced()
            group.create_task(self._queue.run())

    async def _reconcile(self, key: str) -> None:
        if key.startswith(_POD):
            await self._provisioner.reconcile(key.removeprefix(_POD))
        else:
            await self._releaser.reconcile(key.removeprefix(_CLAIM))

    def _on_change(self, change: Change) -> None:
        match change.resource:
            case "pods":
                self._pod_changed(change)
            case "resourceclaims":
                key = key_of(change.object)
                self._queue.add(_CLAIM + key)
                for pod in self._users.get(key, ()):
                    self._queue.add(_POD + pod)
            case _:
                self._template_changed(namespace_of(change.object))

    def _pod_changed(self, change: Change) -> None:
        pod = change.object
        keys = set(claim_keys(pod))
        for key in keys:
            self._users[key].add(key_of(pod))
        if change.new is None:
            self._forget(key_of(pod), keys)
            keys |= self._claims_of(uid_of(pod))
        self._queue.add(_POD + key_of(pod))
        for key in keys:
            self._queue.add(_CLAIM + key)

    def _forget(self, pod: str, claims: set[str]) -> None:
        for claim in claims:
            self._users[claim].discard(pod)
            if not self._users[claim]:
                del self._users[claim]

    def _claims_of(self, uid: str) -> set[str]:
        """Claims made for the pod, also those its status never got to name."""
        return {
            key
            for key, claim in self._seen["resourceclaims"].objects.items()
            if controller_uid(claim) == uid
        }

    def _template_changed(self, namespace: str) -> None:
        for pod in self._seen["pods"]:
            if namespace_of(pod) == namespace and unmade_entries(pod):
                self._queue.add(_POD + key_of(pod))
