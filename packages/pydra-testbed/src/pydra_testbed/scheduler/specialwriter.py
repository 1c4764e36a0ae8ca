"""Writes about the claim behind extended resources: it is made, noted in the pod's status, or taken back."""

from __future__ import annotations

import copy
import logging

from pydra_testbed.objects import (
    Api,
    ApiStatusError,
    KubeObject,
    ObjectRef,
    key_of,
    namespace_of,
    uid_of,
)
from pydra_testbed.reflector import Store
from pydra_testbed.scheduler.changing import WriteFailedError, change
from pydra_testbed.scheduler.special import SpecialClaim

_log = logging.getLogger(__name__)
_START = 'running PreBind plugin "DynamicResources":'


class SpecialClaims:
    """Makes and unmakes these claims; used by the writer."""

    def __init__(self, api: Api, claims: Store, pods: Store) -> None:
        self._api = api
        self._claims = claims
        self._pods = pods

    async def create(self, special: SpecialClaim) -> str:
        """Create the claim under a generated name; its key. Raises `WriteFailedError`."""
        body = copy.deepcopy(special.body)
        del body["metadata"]["name"]
        try:
            made = await self._api.create("resourceclaims", body, namespace_of(body))
        except ApiStatusError as problem:
            raise WriteFailedError(
                f"{_START} create claim for extended resources {key_of(special.body)}: "
                f"{problem.message}"
            ) from problem
        self._claims.offer(made)
        return key_of(made)

    async def note(self, pod: KubeObject, key: str, special: SpecialClaim) -> None:
        """Say in the pod's status which request serves which container. Raises `WriteFailedError`."""
        note = {
            "requestMappings": list(special.mappings),
            "resourceClaimName": key.partition("/")[2],
        }

        def add(body: KubeObject) -> KubeObject | None:
            if uid_of(body) != uid_of(pod):
                return None
            body.setdefault("status", {})["extendedResourceClaimStatus"] = note
            return body

        try:
            await change(self._api, self._pods, key_of(pod), add, "status")
        except ApiStatusError as problem:
            raise WriteFailedError(
                f"{_START} update pod {key_of(pod)} ExtendedResourceClaimStatus: {problem.message}"
            ) from problem

    async def delete(self, key: str) -> None:
        """Delete the claim, whatever protects it."""
        namespace, _, name = key.partition("/")

        def unprotect(claim: KubeObject) -> KubeObject | None:
            return claim if claim["metadata"].pop("finalizers", None) else None

        try:
            await change(self._api, self._claims, key, unprotect, "")
            await self._api.delete(ObjectRef("resourceclaims", name, namespace), None)
        except ApiStatusError as problem:
            extra = {"claim": key, "error": problem.message}
            _log.warning("claim for extended resources not deleted", extra=extra)
