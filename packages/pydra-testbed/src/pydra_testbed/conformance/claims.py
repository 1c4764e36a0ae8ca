"""Claims as the scheduler would have allocated them, made from the devices a driver publishes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydra_testbed.conformance.offer import Offered
from pydra_testbed.kubelet import ClaimRef
from pydra_testbed.objects import Api, KubeObject, ObjectRef, uid_of

NAMESPACE = "default"
ADMINS = "conformance-admin"
"""A namespace in which claims may ask for admin access (KEP-5018)."""
CLASS = "conformance"
_RESOURCE = "resourceclaims"


@dataclass(frozen=True, slots=True)
class Use:
    """One entry of an allocation: a device for a request, a share of it where it can be shared."""

    driver: str
    pool: str
    device: str
    request: str = "r0"
    share_id: str = ""
    consumed: Mapping[str, str] = field(default_factory=dict)
    admin: bool = False

    @classmethod
    def of(cls, driver: str, device: Offered, request: str = "r0", *, admin: bool = False) -> Use:
        """The whole of a device, or a new share of one that can be shared."""
        if not device.shareable:
            return cls(driver, device.pool, device.name, request, admin=admin)
        share = str(uuid.uuid4())
        return cls(driver, device.pool, device.name, request, share, device.portion, admin)

    def result(self) -> KubeObject:
        """The entry of `status.allocation.devices.results`."""
        body: KubeObject = {
            "request": self.request,
            "driver": self.driver,
            "pool": self.pool,
            "device": self.device,
        }
        if self.share_id:
            body["shareID"] = self.share_id
        if self.consumed:
            body["consumedCapacity"] = dict(self.consumed)
        if self.admin:
            body["adminAccess"] = True
        return body


def opaque(
    driver: str,
    parameters: Mapping[str, Any],
    *,
    source: str = "FromClaim",
    requests: Sequence[str] = (),
) -> KubeObject:
    """An entry of `status.allocation.devices.config`."""
    return {
        "source": source,
        "requests": list(requests),
        "opaque": {"driver": driver, "parameters": dict(parameters)},
    }


async def make(
    api: Api, name: str, uses: Sequence[Use], config: Sequence[KubeObject] = ()
) -> ClaimRef:
    """Create a claim, allocated to `uses`; without any it stays unallocated."""
    namespace = ADMINS if any(use.admin for use in uses) else NAMESPACE
    admins = {use.request.partition("/")[0] for use in uses if use.admin}
    names = list(dict.fromkeys(use.request for use in uses)) or ["r0"]
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"devices": {"requests": [_request(each, admins) for each in names]}},
    }
    made = await api.create(_RESOURCE, body, namespace)
    if uses:
        devices = {"results": [use.result() for use in uses], "config": list(config)}
        consumer = {"resource": "pods", "name": f"{name}-pod", "uid": str(uuid.uuid4())}
        made["status"] = {"allocation": {"devices": devices}, "reservedFor": [consumer]}
        made = await api.update(_RESOURCE, made, "status")
    return ClaimRef(namespace, name, uid_of(made))


async def remove(api: Api, ref: ClaimRef) -> None:
    """Delete the claim's object, as it is gone once its last pod is."""
    body = await api.get(_RESOURCE, ref.name, ref.namespace)
    if body["metadata"].get("finalizers"):
        body["metadata"]["finalizers"] = []
        await api.update(_RESOURCE, body)
    await api.delete(ObjectRef(_RESOURCE, ref.name, ref.namespace))


def _request(name: str, admins: set[str]) -> KubeObject:
    base, _, sub = name.partition("/")
    if sub:
        return {"name": base, "firstAvailable": [{"name": sub, "deviceClassName": CLASS}]}
    exactly: KubeObject = {"deviceClassName": CLASS}
    if base in admins:
        exactly["adminAccess"] = True
    return {"name": base, "exactly": exactly}
