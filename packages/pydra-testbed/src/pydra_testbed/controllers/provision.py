"""The pod side of the claim controller: make claims from templates, reserve claims for pods with a node."""

from __future__ import annotations

import copy
import logging

from pydra_testbed.controllers.podclaims import (
    ANNOTATION,
    claim_from_template,
    claim_keys,
    consumer_of,
    controller_uid,
    is_done,
    statuses,
    unmade_entries,
)
from pydra_testbed.objects import (
    Api,
    KubeObject,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from pydra_testbed.reflector import Reflectors

_log = logging.getLogger(__name__)


class Provisioner:
    """Reconciles one pod at a time."""

    def __init__(self, api: Api, seen: Reflectors) -> None:
        self._api = api
        self._seen = seen

    async def reconcile(self, key: str) -> None:
        """Bring the pod's claims into being; what cannot be done yet is done when the missing part appears.

        Raises:
            ApiStatusError: a write failed; the queue comes back.
        """
        pod = self._seen["pods"].get(key)
        if pod is None or is_done(pod) or pod["metadata"].get("deletionTimestamp"):
            return
        made = [status for entry in unmade_entries(pod) if (status := await self._make(pod, entry))]
        if made:
            pod = await self._note(pod, made)
        if pod["spec"].get("nodeName"):
            for claim_key in dict.fromkeys(claim_keys(pod)):
                await self._reserve(pod, claim_key)

    async def _make(self, pod: KubeObject, entry: KubeObject) -> KubeObject | None:
        """Create the claim of an entry, or find the one created before; None without a template."""
        claim = self._existing(pod, entry["name"])
        if claim is None:
            key = f"{namespace_of(pod)}/{entry['resourceClaimTemplateName']}"
            template = self._seen["resourceclaimtemplates"].get(key)
            if template is None:
                extra = {"pod": key_of(pod), "template": key}
                _log.info("claim waits for its template", extra=extra)
                return None
            wanted = claim_from_template(pod, entry["name"], template)
            claim = await self._api.create("resourceclaims", wanted, namespace_of(pod))
            self._seen["resourceclaims"].offer(claim)
        return {"name": entry["name"], "resourceClaimName": name_of(claim)}

    def _existing(self, pod: KubeObject, entry: str) -> KubeObject | None:
        for claim in self._seen["resourceclaims"]:
            annotations = claim["metadata"].get("annotations") or {}
            if controller_uid(claim) == uid_of(pod) and annotations.get(ANNOTATION) == entry:
                return claim
        return None

    async def _note(self, pod: KubeObject, made: list[KubeObject]) -> KubeObject:
        """Tell the pod the names of its claims."""
        body = copy.deepcopy(pod)
        body.setdefault("status", {})["resourceClaimStatuses"] = [*statuses(pod), *made]
        updated = await self._api.update("pods", body, "status")
        self._seen["pods"].offer(updated)
        return updated

    async def _reserve(self, pod: KubeObject, claim_key: str) -> None:
        """A pod that got its node without the scheduler still has to appear in `reservedFor`."""
        claim = self._seen["resourceclaims"].get(claim_key)
        if claim is None or not (claim.get("status") or {}).get("allocation"):
            return
        reserved = claim["status"].get("reservedFor") or []
        if any(consumer.get("uid") == uid_of(pod) for consumer in reserved):
            return
        body = copy.deepcopy(claim)
        body["status"]["reservedFor"] = [*reserved, consumer_of(pod)]
        self._seen["resourceclaims"].offer(await self._api.update("resourceclaims", body, "status"))
