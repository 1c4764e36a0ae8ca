"""The claim side of the claim controller: reservations of pods that are done go, then what only they needed."""

from __future__ import annotations

import copy

from pydra_testbed.controllers.podclaims import FINALIZER, controller_uid, is_done, is_pod
from pydra_testbed.objects import (
    Api,
    ApiStatusError,
    KubeObject,
    ObjectRef,
    Preconditions,
    name_of,
    namespace_of,
    uid_of,
)
from pydra_testbed.reflector import Reflectors

_NOT_FOUND = 404


class Releaser:
    """Reconciles one claim at a time."""

    def __init__(self, api: Api, seen: Reflectors) -> None:
        self._api = api
        self._seen = seen

    async def reconcile(self, key: str) -> None:
        """Release the claim from pods that are done; deallocate and delete it when it is time.

        Raises:
            ApiStatusError: a write failed; the queue comes back.
        """
        claim = self._seen["resourceclaims"].get(key)
        if claim is None:
            return
        try:
            await self._reconcile(claim)
        except ApiStatusError as problem:
            if problem.code != _NOT_FOUND:
                raise

    async def _reconcile(self, claim: KubeObject) -> None:
        reserved = (claim.get("status") or {}).get("reservedFor") or []
        valid = [consumer for consumer in reserved if await self._needs_it(claim, consumer)]
        is_leaving = bool(claim["metadata"].get("deletionTimestamp"))
        if len(valid) < len(reserved) or (is_leaving and not valid and _is_protected(claim)):
            claim = await self._release(claim, valid)
            if not valid:
                claim = await self._unprotect(claim)
        if not valid and not claim["metadata"].get("deletionTimestamp"):
            await self._delete_if_pod_is_done(claim)

    async def _needs_it(self, claim: KubeObject, consumer: KubeObject) -> bool:
        """Pods may be newer than what has been seen of them: only the API server knows that one is gone."""
        if not is_pod(consumer):
            return True
        pod = await self._pod(namespace_of(claim), consumer["name"], consumer["uid"])
        return pod is not None and not is_done(pod)

    async def _pod(self, namespace: str, name: str, uid: str) -> KubeObject | None:
        pod = self._seen["pods"].get(f"{namespace}/{name}")
        if pod is None or uid_of(pod) != uid:
            try:
                pod = await self._api.get("pods", name, namespace)
            except ApiStatusError as problem:
                if problem.code != _NOT_FOUND:
                    raise
                return None
        return pod if uid_of(pod) == uid else None

    async def _release(self, claim: KubeObject, valid: list[KubeObject]) -> KubeObject:
        """One status write; an allocation without finalizer was made by others and is theirs to undo."""
        body = copy.deepcopy(claim)
        status = body.setdefault("status", {})
        status["reservedFor"] = valid
        if not valid:
            del status["reservedFor"]
            if _is_protected(claim):
                status.pop("allocation", None)
        if status == (claim.get("status") or {}):
            return claim
        return self._written(await self._api.update("resourceclaims", body, "status"))

    async def _unprotect(self, claim: KubeObject) -> KubeObject:
        if not _is_protected(claim) or (claim.get("status") or {}).get("allocation"):
            return claim
        body = copy.deepcopy(claim)
        body["metadata"]["finalizers"].remove(FINALIZER)
        return self._written(await self._api.update("resourceclaims", body))

    async def _delete_if_pod_is_done(self, claim: KubeObject) -> None:
        """A claim made for a pod goes with the pod's work; when the pod itself goes, owner references do it."""
        owner = controller_uid(claim)
        owners = claim["metadata"].get("ownerReferences") or ()
        name = next((o["name"] for o in owners if o["uid"] == owner and o["kind"] == "Pod"), "")
        pod = self._seen["pods"].get(f"{namespace_of(claim)}/{name}") if name else None
        if pod is None or uid_of(pod) != owner or not is_done(pod):
            return
        ref = ObjectRef("resourceclaims", name_of(claim), namespace_of(claim))
        await self._api.delete(ref, preconditions=Preconditions(uid=uid_of(claim)))

    def _written(self, claim: KubeObject) -> KubeObject:
        self._seen["resourceclaims"].offer(claim)
        return claim


def _is_protected(claim: KubeObject) -> bool:
    return FINALIZER in (claim["metadata"].get("finalizers") or ())
