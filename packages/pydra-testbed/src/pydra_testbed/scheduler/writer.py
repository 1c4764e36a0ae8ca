"""The scheduler's writes: finalizer, allocation with reservation, binding; and what a failure leaves.

In this order because each later write relies on the earlier: an allocated claim must not vanish, a pod
with a node must find its claims reserved.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
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
from pydra_testbed.scheduler.changing import WriteFailedError, change
from pydra_testbed.scheduler.cycle import Bind, Failed
from pydra_testbed.scheduler.podclaims import is_allocated, is_reserved_for, reservations
from pydra_testbed.scheduler.specialwriter import SpecialClaims

_log = logging.getLogger(__name__)

FINALIZER = "resource.kubernetes.io/delete-protection"


class Writer:
    """Carries out decisions."""

    def __init__(self, api: Api, clock: Clock, claims: Store, pods: Store) -> None:
        self._api = api
        self._clock = clock
        self._claims = claims
        self._pods = pods
        self._special = SpecialClaims(api, claims, pods)

    async def reserve(self, pod: KubeObject, decision: Bind) -> tuple[str, ...]:
        """Create the claim for extended resources if there is one, allocate and reserve all; tells their keys.

        Raises:
            WriteFailedError: nothing is left reserved then; what was allocated stays for the next attempt.
        """
        new = {item.claim.key: item.allocation for item in decision.allocations}
        if decision.claims or decision.special is not None:
            await self._nominate(pod, decision.node)
        claims, made = decision.claims, ""
        try:
            if decision.special is not None:
                made = await self._special.create(decision.special)
                new[made] = decision.allocations[-1].allocation
                claims = (*claims, made)
            for key in claims:
                await self._reserve(pod, key, new.get(key))
            if decision.special is not None:
                await self._special.note(pod, made, decision.special)
        except WriteFailedError:
            await self.release(pod, claims, made)
            raise
        return claims

    async def release(self, pod: KubeObject, claims: Sequence[str], made: str = "") -> None:
        """Give reservations back; the claim that was `made` for extended resources goes."""
        for key in claims:
            if key != made:
                await self._unreserve(pod, key)
        if made:
            await self._special.delete(made)

    async def delete(self, key: str) -> None:
        """Delete a claim for extended resources that an earlier attempt left behind."""
        await self._special.delete(key)

    async def _nominate(self, pod: KubeObject, node: str) -> None:
        """Say where the pod is meant to go before its claims are written (KEP-5278); losing this does no harm."""

        def name_node(body: KubeObject) -> KubeObject | None:
            status = body.setdefault("status", {})
            if uid_of(body) != uid_of(pod) or status.get("nominatedNodeName") == node:
                return None
            status["nominatedNodeName"] = node
            return body

        try:
            await change(self._api, self._pods, key_of(pod), name_node, "status")
        except ApiStatusError as problem:
            extra = {"pod": key_of(pod), "error": problem.message}
            _log.warning("nominated node not written", extra=extra)

    async def _reserve(self, pod: KubeObject, key: str, allocation: dict[str, Any] | None) -> None:
        what = "add reservation" if allocation is None else "add allocation and reservation"
        try:
            if allocation is not None:
                await change(self._api, self._claims, key, _protect, "")
            await change(
                self._api,
                self._claims,
                key,
                lambda claim: self._use(pod, claim, allocation),
                "status",
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

    async def give_node(self, pod: KubeObject, node: str) -> None:
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
            await change(self._api, self._claims, key, release, "status")
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
            await change(self._api, self._claims, key, clear, "status")
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
            return await change(self._api, self._pods, key_of(pod), condition, "status")
        except ApiStatusError as problem:
            extra = {"pod": key_of(pod), "error": problem.message}
            _log.warning("condition not written", extra=extra)
            return False


def _protect(claim: KubeObject) -> KubeObject | None:
    finalizers = claim["metadata"].setdefault("finalizers", [])
    if FINALIZER in finalizers:
        return None
    finalizers.append(FINALIZER)
    return claim
