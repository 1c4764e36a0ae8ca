"""A world from files: manifests as people write them, and lists as `kubectl get -o yaml` prints them.

Every object goes through an API server of its own, so that it is judged and completed as a cluster would; then
the status it came with is put back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydra_core.errors import ConfigError
from pydra_testbed.api import ApiServer
from pydra_testbed.clock import RealClock
from pydra_testbed.explain.checks import ADMIN_LABEL
from pydra_testbed.explain.world import World, by_key, nodes_of_slices
from pydra_testbed.manifests import Manifest, ManifestError, read
from pydra_testbed.objects import Api, ApiStatusError, KubeObject, ObjectRef, Patch, name_of

_KINDS = {
    "Namespace": ("namespaces", "namespaces"),
    "Node": ("nodes", "nodes"),
    "ResourceSlice": ("slices", "resourceslices"),
    "DeviceClass": ("classes", "deviceclasses"),
    "ResourceClaim": ("claims", "resourceclaims"),
    "ResourceClaimTemplate": ("templates", "resourceclaimtemplates"),
    "Pod": ("pods", "pods"),
}
_WITHOUT_NAMESPACE = frozenset({"Namespace", "Node", "ResourceSlice", "DeviceClass"})
_KEPT = ("uid", "ownerReferences", "deletionTimestamp", "finalizers", "labels", "annotations")
_NO_NODES = (
    "no Node objects given: every node that slices name is taken to be ready, without labels"
)

_NO_SLICES = (
    "no slices given: add --slices FILE with what `kubectl get resourceslices -o yaml` or "
    "`pydra discover -o yaml` prints"
)


async def read_world(files: Iterable[Path], namespace: str) -> World:
    """Read every object that matters, other kinds are passed over; `namespace` is for objects without one.

    Raises:
        ConfigError: a file cannot be read, or an API server would refuse an object.
    """
    api = ApiServer(RealClock()).local
    made: set[str] = set()
    held: dict[str, list[KubeObject]] = {field: [] for field, _ in _KINDS.values()}
    for manifest in [_read(file) for file in files]:
        for body in manifest.objects:
            if body["kind"] not in _KINDS:
                continue
            field, resource = _KINDS[body["kind"]]
            if body["kind"] == "Namespace":
                held[field].append(body)
                continue
            if body["kind"] not in _WITHOUT_NAMESPACE:
                await _make_namespace(
                    api, body["metadata"].setdefault("namespace", namespace), made
                )
            held[field].append(await _admitted(api, manifest, resource, body))
    found = {field: by_key(bodies) for field, bodies in held.items()}
    world = World(
        found["nodes"], found["slices"], found["classes"], found["claims"],
        found["templates"], found["pods"], found["namespaces"],
    )  # fmt: skip
    if not world.slices:
        return replace(world, notes=(_NO_SLICES,))
    if world.nodes:
        return world
    return replace(world, nodes=nodes_of_slices(world.slices.values()), notes=(_NO_NODES,))


def _read(file: Path) -> Manifest:
    try:
        return read(file)
    except ManifestError as err:
        raise ConfigError(str(err), key="filename", source="flag") from err


async def _make_namespace(api: Api, name: str, made: set[str]) -> None:
    """Allow everything in it; whether a namespace allows admin access is told later, not refused here."""
    if name in made:
        return
    made.add(name)
    labels = {"metadata": {"name": name, "labels": {ADMIN_LABEL: "true"}}}
    try:
        await api.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", **labels})
    except ApiStatusError:  # one of those every cluster has
        await api.patch(ObjectRef("namespaces", name), Patch(labels))


async def _admitted(api: Api, manifest: Manifest, resource: str, body: KubeObject) -> KubeObject:
    given = body["metadata"]
    metadata = {k: given[k] for k in ("name", "generateName", "namespace", "labels") if k in given}
    try:
        stored = await api.create(resource, {**body, "metadata": metadata})
        if body.get("status") and resource != "nodes":
            changed = {**stored, "status": body["status"]}
            stored = await api.update(resource, changed, "status")
    except ApiStatusError as err:
        where = f"manifest {manifest.name}: {body['kind']} {given.get('name', '')}"
        raise ConfigError(
            f"{where}: refused: {err.message}", key="filename", source="flag"
        ) from err
    kept = {key: given[key] for key in _KEPT if given.get(key)}
    return {**stored, "metadata": {**stored["metadata"], **kept, "name": name_of(stored)}}
