"""The DRA manager: claims prepared before a pod's containers start, unprepared after the last one ends.

Called by the pod workers. Order, batching and words are kubelet 1.36's: all claims are checked before
anything is changed; then one call per driver with all claims of the pod; the first trouble aborts, and
nothing counts as prepared unless everything was. Retrying is the pod worker's business.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydra_testbed.kubelet.calls import ClaimRef
from pydra_testbed.kubelet.claims import ClaimCache, ClaimRecord
from pydra_testbed.kubelet.claims_file import store_claims
from pydra_testbed.kubelet.drivers import DriverNotRegisteredError, DriverRegistry
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.health import DeviceKey
from pydra_testbed.kubelet.instance import DriverInstance
from pydra_testbed.kubelet.podclaims import (
    ClaimUseError,
    PodClaim,
    allocated_drivers,
    check_use,
    container_requests,
    pod_claims,
)
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.kubelet.services import ClaimAnswer, PreparedDevice
from pydra_testbed.objects import Api, ApiStatusError, KubeObject, name_of, namespace_of, uid_of

Key = TypeVar("Key")


class DraError(Exception):
    """Claims of a pod could not be prepared or unprepared, in the kubelet's words."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """A claim that passed the checks, with the instance of each of its drivers."""

    ref: ClaimRef
    instances: Mapping[str, DriverInstance]


class DraManager:
    """Prepares and unprepares the claims of one node's pods.

    `cache` holds the claims an earlier kubelet left in `file`, where every change of it is stored.
    """

    def __init__(
        self,
        api: Api,
        drivers: DriverRegistry,
        cache: ClaimCache,
        file: Path,
        rng: random.Random,
        faults: KubeletFaults,
        *,
        append_devices: bool,
    ) -> None:
        self._api = api
        self._drivers = drivers
        self._file = file
        self._rng = rng
        self._faults = faults
        self._append = append_devices
        self._cache = cache

    async def prepare(self, pod: KubeObject) -> None:
        """Prepare all claims of a pod that are not prepared yet; raises `DraError`."""
        try:
            checked = [await self._check(pod, claim) for claim in pod_claims(pod)]
            batches = self._enter(uid_of(pod), checked)
            for instance, refs in self._shuffled(batches):
                await self._prepare_batch(instance, refs)
            for ref in {ref for refs in batches.values() for ref in refs}:
                self._known(ref).prepared = True
            self._store()
        except (ClaimUseError, DriverNotRegisteredError, DraError) as error:
            raise DraError(f"prepare dynamic resources: {error}") from error

    async def unprepare(self, pod_uid: str) -> None:
        """Let go of all claims of a pod that ended; raises `DraError`. No API object is needed."""
        records = self._cache.of_pod(pod_uid)
        if not records:
            return
        last = [record for record in records if record.pods == {pod_uid}]
        for record in last:
            record.prepared = False
        try:
            for driver, refs in self._shuffled(_by_driver(last)):
                await self._unprepare_batch(driver, refs)
            for record in records:
                record.pods.discard(pod_uid)
                if not record.pods:
                    self._cache.remove(record.ref)
            self._store()
        except (DriverNotRegisteredError, DraError) as error:
            raise DraError(f"unprepare dynamic resources: {error}") from error

    def pods(self) -> set[str]:
        """The UIDs of all pods that hold claims, also of pods that are gone."""
        return {uid for record in self._cache for uid in record.pods}

    def cdi_devices(self, pod: KubeObject, container: KubeObject) -> tuple[str, ...]:
        """The CDI device IDs of one container of a prepared pod; raises `DraError`."""
        ids: list[str] = []
        for claim, request in container_requests(pod, container):
            record = self._cache.get(namespace_of(pod), claim)
            if record is None:
                raise _no_info(claim, namespace_of(pod))
            ids.extend(record.cdi_ids(request))
        return tuple(ids)

    def container_claims(self, pod: KubeObject, container: KubeObject) -> list[ClaimRecord]:
        """The records of the claims one container uses, each once; a claim not prepared yet may have no devices."""
        try:
            names = dict.fromkeys(claim for claim, _ in container_requests(pod, container))
        except ClaimUseError:
            return []
        found = (self._cache.get(namespace_of(pod), name) for name in names)
        return [record for record in found if record is not None]

    def entry_devices(
        self, pod: KubeObject, entry: KubeObject
    ) -> Iterator[tuple[str, PreparedDevice]]:
        """Driver and device of one entry of a container's `resources.claims`, as far as they are prepared."""
        used = {"name": "", "resources": {"claims": [entry]}}
        try:
            names = list(container_requests(pod, used))
        except ClaimUseError:
            return
        for claim, request in names:
            if (record := self._cache.get(namespace_of(pod), claim)) is not None:
                yield from record.for_request(request)

    def uses(self, pod_uid: str, devices: AbstractSet[DeviceKey]) -> bool:
        """Whether a pod holds one of these devices."""
        return any(
            (driver, device.pool, device.device) in devices
            for record in self._cache.of_pod(pod_uid)
            for driver, device in record.for_request("")
        )

    async def _check(self, pod: KubeObject, pod_claim: PodClaim) -> _Checked:
        """Everything that can be wrong with a claim, found before the cache is touched."""
        try:
            claim = await self._api.get("resourceclaims", pod_claim.claim, namespace_of(pod))
        except ApiStatusError as error:
            raise DraError(f"fetch ResourceClaim {pod_claim.claim}: {error.message}") from error
        check_use(pod, claim, owned=pod_claim.owned)
        instances = {driver: self._drivers.get(driver) for driver in allocated_drivers(claim)}
        return _Checked(ClaimRef(namespace_of(claim), name_of(claim), uid_of(claim)), instances)

    def _enter(
        self, pod_uid: str, checked: Sequence[_Checked]
    ) -> dict[DriverInstance, list[ClaimRef]]:
        """Note that the pod uses the claims; returns what has to be prepared, by instance."""
        batches: dict[DriverInstance, list[ClaimRef]] = {}
        for claim in checked:
            ref = claim.ref
            record = self._cache.get(ref.namespace, ref.name)
            if record is None:
                record = self._cache.add(ref, claim.instances)
            elif record.ref.uid != ref.uid:
                raise DraError(
                    f"old ResourceClaim with same name {ref.name} and different UID "
                    f"{record.ref.uid} still exists (previous pod force-deleted?!)"
                )
            record.pods.add(pod_uid)
            self._store()
            if not record.prepared:
                for instance in claim.instances.values():
                    batches.setdefault(instance, []).append(ref)
        return batches

    async def _prepare_batch(self, instance: DriverInstance, refs: Sequence[ClaimRef]) -> None:
        try:
            answers = await instance.prepare(refs)
        except RpcError as error:
            raise DraError(f"NodePrepareResources: {error}") from error
        for ref, answer in _checked_answers("NodePrepareResources", refs, answers):
            devices = self._known(ref).devices.setdefault(instance.driver, [])
            if not self._append:
                devices.clear()
            devices.extend(answer.devices)
        _check_complete("NodePrepareResources", refs, answers)

    async def _unprepare_batch(self, driver: str, refs: Sequence[ClaimRef]) -> None:
        instance = self._drivers.get(driver)
        try:
            answers = await instance.unprepare(refs)
        except RpcError as error:
            raise DraError(f"NodeUnprepareResources: {error}") from error
        _checked_answers("NodeUnprepareResources", refs, answers)
        _check_complete("NodeUnprepareResources", refs, answers)

    def _known(self, ref: ClaimRef) -> ClaimRecord:
        record = self._cache.get(ref.namespace, ref.name)
        if record is None:
            raise _no_info(ref.name, ref.namespace)
        return record

    def _store(self) -> None:
        try:
            self._faults.check_disk()
            store_claims(self._file, self._cache)
        except OSError as error:
            raise DraError(f"checkpoint ResourceClaim cache: {error}") from error

    def _shuffled(
        self, batches: Mapping[Key, Sequence[ClaimRef]]
    ) -> list[tuple[Key, Sequence[ClaimRef]]]:
        """Drivers in random order: the kubelet iterates over a Go map."""
        items = list(batches.items())
        self._rng.shuffle(items)
        return items


def _by_driver(records: Sequence[ClaimRecord]) -> dict[str, list[ClaimRef]]:
    batches: dict[str, list[ClaimRef]] = {}
    for record in records:
        for driver in record.devices:
            batches.setdefault(driver, []).append(record.ref)
    return batches


def _checked_answers(
    method: str, refs: Sequence[ClaimRef], answers: Mapping[str, ClaimAnswer]
) -> list[tuple[ClaimRef, ClaimAnswer]]:
    """Each answer with the claim it belongs to; raises on the first that has none, or an error."""
    asked = {ref.uid: ref for ref in refs}
    checked = []
    for uid, answer in answers.items():
        if uid not in asked:
            raise DraError(f"{method} returned result for unknown claim UID {uid}")
        if answer.error:
            raise DraError(f"{method} failed for ResourceClaim {asked[uid].name}: {answer.error}")
        checked.append((asked[uid], answer))
    return checked


def _check_complete(
    method: str, refs: Sequence[ClaimRef], answers: Mapping[str, ClaimAnswer]
) -> None:
    if len(answers) < len(refs):
        raise DraError(f"{method} skipped {len(refs) - len(answers)} ResourceClaims")


def _no_info(claim: str, namespace: str) -> DraError:
    return DraError(
        f"internal error: unable to get claim info for ResourceClaim {claim} in namespace {namespace}"
    )
