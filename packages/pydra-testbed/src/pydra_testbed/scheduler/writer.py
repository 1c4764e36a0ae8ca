"""The scheduler's writes: finalizer, allocation with reservation, binding; and what a failure leaves.

In this order because each later write relies on the earlier: an allocated claim must not vanish, a pod
with a node must find its claims reserved.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.objects import (
    Api,
    ApiStatusError,
    KubeObject,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from pydra_testbed.reflector import Store
from pydra_testbed.scheduler.cycle import Bind, Failed
from pydra_testbed.scheduler.podclaims import is_allocated, is_reserved_for, reservations

_log = logging.getLogger(__name__)

FINALIZER = "resource.kubernetes.io/delete-protection"
_CONFLICT = 409
_TRIES = 5


class WriteFailedError(Exception):
    """A decision could not be written; the text goes into the pod's condition."""


class Writer:
    """Carries out decisions."""

    def __init__(self, api: Api, clock: Clock, claims: Store, pods: Store) -> None:
        self._api = api
        self._clock = clock
        self._claims = claims
        self._pods = pods

    async def bind(self, pod: KubeObject, decision: Bind) -> None:
        """Allocate and reserve the claims, then give the pod its node.

        Raises:
            WriteFailedError: nothing is left reserved then; what was allocated stays for the next attempt.
        """
        new = {item.claim.key: item.allocation for item in decision.allocations}
        if decision.claims:
            await self._nominate(pod, decision.node)
        try:
            for key in decision.claims:
                await self._reserve(pod, key, new.get(key))
            await self._give_node(pod, decision.node)
        except WriteFailedError:
            for key in decision.claims:
                await self._unreserve(pod, key)
            raise

    async def _nominate(self, pod: KubeObject, node: str) -> None:
        """Say where the pod is meant to go before its claims are written (KEP-5278); losing this does no harm."""

        def name_node(body: KubeObject) -> KubeObject | None:
            status = body.setdefault("status", {})
            if uid_of(body) != uid_of(pod) or status.get("nominatedNodeName") == node:
                return None
            status["nominatedNodeName"] = node
            return body

        try:
            await self._change(self._pods, key_of(pod), name_node, "status")
        except ApiStatusError as problem:
            extra = {"pod": key_of(pod), "error": problem.message}
            _log.warning("nominated node not written", extra=extra)

    async def _reserve(self, pod: KubeObject, key: str, allocation: dict[str, Any] | None) -> None:
        what = "add reservation" if allocation is None else "add allocation and reservation"
        try:
            if allocation is not None:
                await self._change(self._claims, key, _protect, "")
            await self._change(
                self._claims, key, lambda claim: self._use(pod, claim, allocation), "status"
            )
        except ApiStatusError as problem:
            raise WriteFailedError(
                f'running PreBind plugin "DynamicResources": {what} to claim {key}: {problem.message}'
            ) from problem

    def _use(
        self, pod: KubeObject, claim: KubeObject, allocation: dict[str, Any] | None
    ) -> KubeObject | None:
        if is_allocated(claim) != (allocation is None):
            elsewhere = "deallocated" if allocation is None else "allocated"
            raise WriteFailedError(
                f'running PreBind plugin "DynamicResources": claim {key_of(claim)} '
                f"got {elsewhere} elsewhere in the meantime"
            )
        if is_reserved_for(claim, pod):
            return None
        status = claim.setdefault("status", {})
        if allocation is not None:
            status["allocation"] = copy.deepcopy(allocation)
        # Like Kubernetes also for allocations of others, which the API server then refuses to change.
        status["allocation"].setdefault("allocationTimestamp", rfc3339(self._clock.now()))
        consumer = {"resource": "pods", "name": name_of(pod), "uid": uid_of(pod)}
        status["reservedFor"] = [*reservations(claim), consumer]
        return claim

    async def _give_node(self, pod: KubeObject, node: str) -> None:
        metadata = {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)}
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        try:
            await self._api.create("pods/binding", body, namespace_of(pod))
        except ApiStatusError as problem:
            raise WriteFailedError(
                f'running Bind plugin "DefaultBinder": {problem.message}'
            ) from problem
        bound = copy.deepcopy(self._pods.get(key_of(pod)) or pod)
        bound["spec"]["nodeName"] = node
        self._pods.assume(bound)

    async def _unreserve(self, pod: KubeObject, key: str) -> None:
        def release(claim: KubeObject) -> KubeObject | None:
            if not is_reserved_for(claim, pod):
                return None
            status = claim["status"]
            status["reservedFor"] = [c for c in reservations(claim) if c.get("uid") != uid_of(pod)]
            return claim

        try:
            await self._change(self._claims, key, release, "status")
        except ApiStatusError as problem:
            extra = {"claim": key, "error": problem.message}
            _log.warning("reservation stays until the pod is done", extra=extra)

    async def deallocate(self, key: str) -> None:
        """Take back an allocation that fits no node; the claim can then be allocated anew."""

        def clear(claim: KubeObject) -> KubeObject | None:
            if not is_allocated(claim):
                return None
            claim["status"].pop("allocation")
            claim["status"].pop("reservedFor", None)
            return claim

        try:
            await self._change(self._claims, key, clear, "status")
        except ApiStatusError as problem:
            extra = {"claim": key, "error": problem.message}
            _log.warning("claim could not be deallocated", extra=extra)

    async def explain(self, pod: KubeObject, failure: Failed) -> bool:
        """Write the PodScheduled condition; False when it says so already."""
        now = rfc3339(self._clock.now())
        wanted = {"status": "False", "reason": failure.reason, "message": failure.message}

        def condition(body: KubeObject) -> KubeObject | None:
            if uid_of(body) != uid_of(pod) or body["spec"].get("nodeName"):
                return None
            status = body.setdefault("status", {})
            was_nominated = status.pop("nominatedNodeName", None) is not None
            others = []
            for known in status.get("conditions") or ():
                if known.get("type") != "PodScheduled":
                    others.append(known)
                elif wanted.items() <= known.items():
                    return body if was_nominated else None
            news = {"type": "PodScheduled", "lastTransitionTime": now, **wanted}
            status["conditions"] = [*others, news]
            return body

        try:
            return await self._change(self._pods, key_of(pod), condition, "status")
        except ApiStatusError as problem:
            extra = {"pod": key_of(pod), "error": problem.message}
            _log.warning("condition not written", extra=extra)
            return False

    async def _change(
        self,
        store: Store,
        key: str,
        change: Callable[[KubeObject], KubeObject | None],
        subresource: str,
    ) -> bool:
        """Change an object from what is known of it, then from what the API server has, until it takes.

        False when there was nothing to change.
        """
        namespace, _, name = key.partition("/")
        known = store.get(key)
        for attempt in range(_TRIES):
            if known is None or attempt:
                known = await self._api.get(store.resource, name, namespace)
            body = change(copy.deepcopy(known))
            if body is None:
                return False
            try:
                updated = await self._api.update(store.resource, body, subresource)
            except ApiStatusError as problem:
                if problem.code != _CONFLICT or attempt == _TRIES - 1:
                    raise
                continue
            store.offer(updated)
            return True
        return False


def _protect(claim: KubeObject) -> KubeObject | None:
    finalizers = claim["metadata"].setdefault("finalizers", [])
    if FINALIZER in finalizers:
        return None
    finalizers.append(FINALIZER)
    return claim
