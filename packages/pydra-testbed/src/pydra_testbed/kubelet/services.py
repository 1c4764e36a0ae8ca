"""The versions of the DRA service the kubelet knows, and their messages as plain values.

`v1` and `v1beta1` differ in package and in `share_id` only; kubelet 1.36 speaks both. One entry here
is all a further version needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydra_core._proto import dra_v1_pb2, dra_v1beta1_pb2
from pydra_testbed.kubelet.calls import ClaimRef
from pydra_testbed.kubelet.rpc import Method


@dataclass(frozen=True, slots=True)
class PreparedDevice:
    """One device as a driver answered it."""

    pool: str
    device: str
    requests: tuple[str, ...] = ()
    cdi_ids: tuple[str, ...] = ()
    share_id: str = ""


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """What a driver said about one claim: devices, or an error."""

    devices: tuple[PreparedDevice, ...] = ()
    error: str = ""


class DraService:
    """One version of `DRAPlugin`: builds requests, reads answers."""

    def __init__(self, name: str, package: str, messages: Any) -> None:
        self.name = name
        self._messages = messages
        service = f"{package}.DRAPlugin"
        prepared = messages.NodePrepareResourcesResponse.FromString
        unprepared = messages.NodeUnprepareResourcesResponse.FromString
        self.prepare = Method(service, "NodePrepareResources", prepared)
        self.unprepare = Method(service, "NodeUnprepareResources", unprepared)

    def prepare_request(self, claims: Sequence[ClaimRef]) -> Any:
        """The request message for `prepare`."""
        return self._messages.NodePrepareResourcesRequest(claims=self._claims(claims))

    def unprepare_request(self, claims: Sequence[ClaimRef]) -> Any:
        """The request message for `unprepare`."""
        return self._messages.NodeUnprepareResourcesRequest(claims=self._claims(claims))

    def _claims(self, claims: Sequence[ClaimRef]) -> list[Any]:
        return [
            self._messages.Claim(namespace=claim.namespace, uid=claim.uid, name=claim.name)
            for claim in claims
        ]


def answers(response: Any) -> dict[str, ClaimAnswer]:
    """The per-claim results of either answer, by claim UID."""
    return {
        uid: ClaimAnswer(tuple(map(_device, getattr(result, "devices", ()))), result.error)
        for uid, result in response.claims.items()
    }


def _device(device: Any) -> PreparedDevice:
    return PreparedDevice(
        pool=device.pool_name,
        device=device.device_name,
        requests=tuple(device.request_names),
        cdi_ids=tuple(device.cdi_device_ids),
        share_id=getattr(device, "share_id", ""),
    )


# In the order the kubelet's own messages list them.
SERVICES: Mapping[str, DraService] = {
    service.name: service
    for service in (
        DraService("v1.DRAPlugin", "k8s.io.kubelet.pkg.apis.dra.v1", dra_v1_pb2),
        DraService("v1beta1.DRAPlugin", "k8s.io.kubelet.pkg.apis.dra.v1beta1", dra_v1beta1_pb2),
    )
}
